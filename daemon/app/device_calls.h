// The calls of devices: to enroll, to renew, to check in, and to learn what an artifact consists
// of.
#pragma once

#include "daemon/app/backend.h"
#include "daemon/app/callers.h"
#include "quantfleet/v1/device.pb.h"

namespace quantfleet::daemon::app {

class DeviceCalls {
 public:
  DeviceCalls(Backend& backend, Callers& callers) : backend_(backend), callers_(callers) {}

  // These three are open to callers without a certificate.
  absl::StatusOr<v1::Identity> Enroll(const Caller& caller, const v1::EnrollRequest& request);
  absl::StatusOr<v1::Challenge> GetChallenge(const Caller& caller,
                                             const v1::GetChallengeRequest& request);
  absl::StatusOr<v1::Identity> Renew(const Caller& caller, const v1::RenewRequest& request);

  // The device's report and what follows from it are one transaction.
  absl::StatusOr<v1::CheckInResponse> CheckIn(const Caller& caller,
                                              const v1::CheckInRequest& request);
  // For an artifact that is assigned to the device or that it may step down to.
  absl::StatusOr<v1::DeviceArtifact> GetArtifact(const Caller& caller,
                                                 const v1::GetDeviceArtifactRequest& request);
  // Whether the holder of this certificate may read blobs: devices and operators may.
  absl::Status MayReadBlobs(const trust::CertificateInfo& certificate) {
    return callers_.OperatorOrDevice(backend_.store, certificate);
  }

 private:
  int64_t Now() const { return ToUnixMillis(backend_.clock.Now()); }
  absl::StatusOr<v1::Identity> ToProto(absl::StatusOr<Fleet::Issued> identity) const;

  Backend& backend_;
  Callers& callers_;
};

}  // namespace quantfleet::daemon::app
