// A simulated device's line to the daemon: a connection of its own, with the channel that agents
// use, and calls that do not block. gRPC stays inside the .cc.
//
// Thread-safe. Answers come on gRPC's threads and must be quick. A Line must outlive its calls.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "common/base/clock.h"
#include "common/base/status.h"
#include "quantfleet/v1/device.pb.h"
#include "tests/bench/loadgen/identities.h"

namespace quantfleet::loadgen {

class Line {
 public:
  // Connects with the first call. `identity` without a certificate: for devices that enroll.
  Line(const std::string& address, const std::string& ca_pem, const Identity& identity);
  ~Line();
  Line(Line&&) noexcept;

  struct Facts {
    bool resumed = false;  // the TLS session was taken up again, not made by a full handshake
  };
  using CheckedIn = std::function<void(absl::StatusOr<v1::CheckInResponse>, Facts)>;
  void CheckIn(v1::CheckInRequest request, CheckedIn done);
  using GotArtifact = std::function<void(absl::StatusOr<v1::DeviceArtifact>)>;
  void GetArtifact(v1::GetDeviceArtifactRequest request, GotArtifact done);

  absl::StatusOr<v1::Identity> Enroll(const v1::EnrollRequest& request);  // blocks

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace quantfleet::loadgen
