// Devices, the model statuses that they report, and when they were last seen. Device.models and
// last_seen_ms are filled in on every read.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/digest.h"
#include "common/base/status.h"
#include "quantfleet/v1/types.pb.h"

namespace quantfleet::daemon {

// A device that enrolls.
struct Enrollment {
  Digest public_key;      // of the device's key
  std::string admission;  // what admitted it, as in FindByAdmission: "token t1",
                          // "certificate <key digest>"
  v1::Device device;      // id, state, class, facts, labels ...
  int64_t now_ms;
};

class DeviceStore {
 public:
  virtual ~DeviceStore() = default;

  struct Keyed {
    v1::Device device;
    Digest public_key;
  };
  virtual absl::StatusOr<Keyed> GetWithKey(std::string_view id) const = 0;
  virtual absl::StatusOr<v1::Device> Get(std::string_view id) const = 0;
  virtual absl::StatusOr<v1::Device> FindByKey(const Digest& public_key) const = 0;
  virtual absl::StatusOr<std::vector<v1::Device>> FindByHardware(
      std::string_view hardware_id) const = 0;
  virtual absl::StatusOr<std::vector<v1::Device>> FindByAdmission(
      std::string_view admission) const = 0;
  // Up to `limit` devices with ids above `after`, by id. Lists leave damaged records out
  // (Transaction::damaged).
  virtual absl::StatusOr<std::vector<v1::Device>> List(std::string_view after,
                                                       size_t limit) const = 0;

  // Creates the device in place of its entry in the allowlist or among pending devices. A key that
  // is enrolled already keeps its id, time of enrollment, hardware id and labels (new ones win),
  // and its admission and pinned class unless there are new ones. PERMISSION_DENIED: the key's
  // device is revoked.
  virtual absl::StatusOr<v1::Device> Create(const Enrollment& enrollment) = 0;
  // Writes what differs: the device's own fields and the statuses in `models` (a missing one is
  // deleted). No difference, no write. Touch writes last_seen_ms; a known hardware id stays.
  // `read`: the device as this transaction has read it.
  virtual absl::StatusOr<v1::Device> Update(
      const v1::Device& read, const std::function<absl::Status(v1::Device&)>& change) = 0;
  absl::StatusOr<v1::Device> Update(std::string_view id,
                                    const std::function<absl::Status(v1::Device&)>& change) {
    QF_ASSIGN_OR_RETURN(const v1::Device read, Get(id));
    return Update(read, change);
  }
  // In place of a record that cannot be read any more, and of what it reported. One that does not
  // exist is no error.
  virtual absl::Status Rewrite(const v1::Device& device) = 0;
  // Heard of now. `device`: as this transaction read it. Cheap: once the transaction is committed
  // it is kept in memory, read with the device at once and written every half minute (of `now_ms`)
  // and at the end. A crash forgets some.
  virtual void Touch(const v1::Device& device, int64_t now_ms) = 0;
};

}  // namespace quantfleet::daemon
