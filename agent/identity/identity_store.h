// Who this device is, on its disk:
//
//   STATE/device.key       its private key (PEM, mode 0600): made here, never leaves
//   STATE/enrollment.json  what was asked for: request id and server, before the first call
//   STATE/identity.json    what was granted: device id, certificate, trust root, server, blob
//                          endpoint
//   STATE/clock.json       the daemon's time as last learned, at most an hour old while the agent
//                          runs
//
// Each is whole or absent, whenever the power fails. A folder or a record that others may change,
// or a key that they may read, is FAILED_PRECONDITION (base/access.h). Thread-safe as FileSystem
// is; one writer.
#pragma once

#include <optional>
#include <string>

#include "agent/platform/record.h"
#include "agent/platform/unwritten.h"
#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "quantfleet/v1/trust.pb.h"

namespace quantfleet::agent {

struct DeviceIdentity {
  std::string device_id;
  std::string device_class;
  std::string certificate_pem;
  std::string private_pem;
  v1::TrustRoot trust_root;
  std::string server;               // host:port that was enrolled with
  std::string blob_endpoint;        // as the daemon gave it; see EndpointAddress
  std::string fleet_endpoint = {};  // the same of gRPC for devices with a certificate, or empty
};

// Where an endpoint is: one without a host is on the host that was enrolled with.
std::string EndpointAddress(const std::string& server, const std::string& endpoint);

class IdentityStore {
 public:
  // `unwritten`: hears of what is saved, and of what is not.
  IdentityStore(FileSystem& files, fs::path state, Unwritten* unwritten = nullptr)
      : files_(files), state_(std::move(state)), unwritten_(unwritten) {}

  const fs::path& state() const { return state_; }
  bool HasKey() const { return files_.Exists(state_ / "device.key"); }
  // The device's key; the first call creates it durably.
  absl::StatusOr<std::string> DeviceKey() const;
  // The request id of the enrollment with `server`: the same one until it has succeeded.
  absl::StatusOr<std::string> RequestId(const std::string& server, Random& random) const;
  // NOT_FOUND: this device is not enrolled yet. DATA_LOSS: the files are damaged or contradict each
  // other.
  absl::StatusOr<DeviceIdentity> Load() const;
  absl::Status Save(const DeviceIdentity& identity) const;

  std::optional<Time> LastKnownTime() const;
  absl::Status SaveTime(Time time) const;

 private:
  absl::Status Write(std::string_view name, const Record& record) const;

  FileSystem& files_;
  const fs::path state_;
  Unwritten* const unwritten_;
};

}  // namespace quantfleet::agent
