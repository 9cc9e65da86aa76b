// A device's calls to its daemon, as an interface: the updater and the tests do not see gRPC.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "common/base/status.h"
#include "common/net/channel.h"
#include "quantfleet/v1/device.pb.h"

namespace quantfleet::agent {

// Thread-safe. Calls block, with deadlines of their own.
class DeviceApi {
 public:
  virtual ~DeviceApi() = default;
  virtual absl::StatusOr<v1::Identity> Enroll(const v1::EnrollRequest& request) = 0;
  virtual absl::StatusOr<v1::Challenge> GetChallenge(const v1::GetChallengeRequest& request) = 0;
  virtual absl::StatusOr<v1::Identity> Renew(const v1::RenewRequest& request) = 0;
  virtual absl::StatusOr<v1::CheckInResponse> CheckIn(const v1::CheckInRequest& request) = 0;
  virtual absl::StatusOr<v1::DeviceArtifact> GetArtifact(
      const v1::GetDeviceArtifactRequest& request) = 0;
  // Ends calls under way, and all later ones, with CANCELLED.
  virtual void Cancel() = 0;
};

// Makes the API for the daemon at `address`; connects lazily.
using Connector = std::function<std::shared_ptr<DeviceApi>(const std::string& address,
                                                           const net::ServerTrust& trust,
                                                           const net::ClientIdentity& identity)>;

std::shared_ptr<DeviceApi> ConnectGrpc(const std::string& address, const net::ServerTrust& trust,
                                       const net::ClientIdentity& identity);

}  // namespace quantfleet::agent
