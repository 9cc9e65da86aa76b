// The allowlist and the pending devices.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/status.h"
#include "quantfleet/v1/types.pb.h"

namespace quantfleet::daemon {

// A pending device.
struct PendingRecord {
  v1::PendingDevice device;
  std::string admission;  // as in Enrollment; empty: nothing admits it
};

class AdmissionStore {
 public:
  virtual ~AdmissionStore() = default;

  virtual absl::StatusOr<std::optional<v1::AllowedDevice>> FindAllowed(
      std::string_view id) const = 0;
  // Up to `limit` with ids above `after`, by id.
  virtual absl::StatusOr<std::vector<v1::AllowedDevice>> ListAllowed(std::string_view after,
                                                                     size_t limit) const = 0;
  // Replaces entries of the same ids. RESOURCE_EXHAUSTED beyond `most` in all.
  virtual absl::StatusOr<std::vector<v1::AllowedDevice>> Allow(
      const std::vector<v1::AllowedDevice>& devices, size_t most) = 0;
  virtual absl::StatusOr<v1::AllowedDevice> Disallow(std::string_view id) = 0;

  virtual absl::StatusOr<std::optional<PendingRecord>> FindPending(std::string_view id,
                                                                   int64_t now_ms) const = 0;
  virtual absl::StatusOr<std::vector<v1::PendingDevice>> ListPending(
      int64_t now_ms) const = 0;  // the first to come first
  // Replaces the key's record but keeps its place in the queue. Expired ones are removed first.
  // RESOURCE_EXHAUSTED when `most` others wait that something admits, or that nothing admits, like
  // this one.
  virtual absl::Status PutPending(const PendingRecord& pending, size_t most, int64_t now_ms) = 0;
  // Removes those that wait with this admission.
  virtual absl::Status ForgetPending(std::string_view admission) = 0;
};

}  // namespace quantfleet::daemon
