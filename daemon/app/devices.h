// Devices, the allowlist and pending devices: the calls of operators.
#pragma once

#include "daemon/app/backend.h"
#include "daemon/app/callers.h"
#include "quantfleet/v1/operator.pb.h"

namespace quantfleet::daemon::app {

class Devices {
 public:
  Devices(Backend& backend, Callers& callers) : backend_(backend), callers_(callers) {}

  absl::StatusOr<v1::ListDevicesResponse> List(const Caller& caller,
                                               const v1::ListDevicesRequest& request);
  absl::StatusOr<v1::Device> Get(const Caller& caller, const v1::GetDeviceRequest& request);
  // Its rollouts continue without it.
  absl::StatusOr<v1::Device> Revoke(const Caller& caller, const v1::GetDeviceRequest& request);
  absl::StatusOr<v1::Device> ForgetOutgrown(const Caller& caller,
                                            const v1::ForgetOutgrownRequest& request);
  absl::StatusOr<v1::Device> Label(const Caller& caller, const v1::LabelDeviceRequest& request);

  absl::StatusOr<v1::AllowDevicesResponse> Allow(const Caller& caller,
                                                 const v1::AllowDevicesRequest& request);
  absl::StatusOr<v1::ListAllowedDevicesResponse> ListAllowed(
      const Caller& caller, const v1::ListAllowedDevicesRequest& request);
  absl::StatusOr<v1::AllowedDevice> Disallow(const Caller& caller,
                                             const v1::GetDeviceRequest& request);

  absl::StatusOr<v1::ListPendingDevicesResponse> ListPending(
      const Caller& caller, const v1::ListPendingDevicesRequest& request);
  absl::StatusOr<v1::Device> Approve(const Caller& caller, const v1::GetDeviceRequest& request);
  absl::StatusOr<v1::Device> Reject(const Caller& caller, const v1::GetDeviceRequest& request);

 private:
  Backend& backend_;
  Callers& callers_;
};

}  // namespace quantfleet::daemon::app
