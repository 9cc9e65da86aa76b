#include "daemon/app/devices.h"

#include "daemon/app/page.h"

namespace quantfleet::daemon::app {

absl::StatusOr<v1::ListDevicesResponse> Devices::List(const Caller& caller,
                                                      const v1::ListDevicesRequest& request) {
  QF_RETURN_IF_ERROR(callers_.Operator(caller, Role::kViewer).status());
  v1::ListDevicesResponse response;
  QF_RETURN_IF_ERROR(FillPage(
      request, response, response.mutable_devices(),
      [&](std::string_view after, size_t limit) {
        return backend_.store.ListDevices(after, limit);
      },
      [](const v1::Device& device) { return device.id(); }));
  return response;
}

absl::StatusOr<v1::Device> Devices::Get(const Caller& caller, const v1::GetDeviceRequest& request) {
  QF_RETURN_IF_ERROR(callers_.Operator(caller, Role::kViewer).status());
  return backend_.store.GetDevice(request.id());
}

absl::StatusOr<v1::Device> Devices::Revoke(const Caller& caller,
                                           const v1::GetDeviceRequest& request) {
  QF_RETURN_IF_ERROR(callers_.Operator(caller, Role::kAdmin).status());
  v1::Device device;
  QF_RETURN_IF_ERROR(backend_.store.Atomically([&]() -> absl::Status {
    QF_ASSIGN_OR_RETURN(device, backend_.fleet.Revoke(request.id()));
    return backend_.rollouts.Skip(request.id(), "the device was revoked");
  }));
  return device;
}

absl::StatusOr<v1::Device> Devices::ForgetOutgrown(const Caller& caller,
                                                   const v1::ForgetOutgrownRequest& request) {
  QF_RETURN_IF_ERROR(callers_.Operator(caller, Role::kAdmin).status());
  return backend_.fleet.ForgetOutgrown(request.id(), request.model());
}

absl::StatusOr<v1::Device> Devices::Label(const Caller& caller,
                                          const v1::LabelDeviceRequest& request) {
  QF_RETURN_IF_ERROR(callers_.Operator(caller, Role::kAdmin).status());
  return backend_.fleet.Label(request.id(), Labels(request.set().begin(), request.set().end()),
                              {request.remove().begin(), request.remove().end()});
}

absl::StatusOr<v1::AllowDevicesResponse> Devices::Allow(const Caller& caller,
                                                        const v1::AllowDevicesRequest& request) {
  QF_RETURN_IF_ERROR(callers_.Operator(caller, Role::kAdmin).status());
  v1::AllowDevicesResponse response;
  QF_RETURN_IF_ERROR(
      FillList(response.mutable_devices(),
               backend_.fleet.Allow({request.devices().begin(), request.devices().end()})));
  return response;
}

absl::StatusOr<v1::ListAllowedDevicesResponse> Devices::ListAllowed(
    const Caller& caller, const v1::ListAllowedDevicesRequest& request) {
  QF_RETURN_IF_ERROR(callers_.Operator(caller, Role::kViewer).status());
  v1::ListAllowedDevicesResponse response;
  QF_RETURN_IF_ERROR(FillPage(
      request, response, response.mutable_devices(),
      [&](std::string_view after, size_t limit) {
        return backend_.store.ListAllowedDevices(after, limit);
      },
      [](const v1::AllowedDevice& device) { return device.device_id(); }));
  return response;
}

absl::StatusOr<v1::AllowedDevice> Devices::Disallow(const Caller& caller,
                                                    const v1::GetDeviceRequest& request) {
  QF_RETURN_IF_ERROR(callers_.Operator(caller, Role::kAdmin).status());
  return backend_.store.DisallowDevice(request.id());
}

absl::StatusOr<v1::ListPendingDevicesResponse> Devices::ListPending(
    const Caller& caller, const v1::ListPendingDevicesRequest&) {
  QF_RETURN_IF_ERROR(callers_.Operator(caller, Role::kViewer).status());
  v1::ListPendingDevicesResponse response;
  QF_RETURN_IF_ERROR(FillList(response.mutable_devices(), backend_.fleet.Pending()));
  return response;
}

absl::StatusOr<v1::Device> Devices::Approve(const Caller& caller,
                                            const v1::GetDeviceRequest& request) {
  QF_RETURN_IF_ERROR(callers_.Operator(caller, Role::kAdmin).status());
  v1::Device device;
  QF_RETURN_IF_ERROR(backend_.store.Atomically([&]() -> absl::Status {
    QF_ASSIGN_OR_RETURN(Fleet::Approved approved, backend_.fleet.Approve(request.id()));
    device = std::move(approved.device);
    if (approved.revoked.empty()) return absl::OkStatus();
    return backend_.rollouts.Skip(approved.revoked, "the device was replaced by " + device.id());
  }));
  return device;
}

absl::StatusOr<v1::Device> Devices::Reject(const Caller& caller,
                                           const v1::GetDeviceRequest& request) {
  QF_RETURN_IF_ERROR(callers_.Operator(caller, Role::kAdmin).status());
  return backend_.fleet.Reject(request.id());
}

}  // namespace quantfleet::daemon::app
