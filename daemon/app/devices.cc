#include "daemon/app/devices.h"

#include "common/base/fail_point.h"
#include "daemon/app/page.h"

namespace quantfleet::daemon::app {

absl::StatusOr<v1::ListDevicesResponse> Devices::List(const Caller& caller,
                                                      const v1::ListDevicesRequest& request) {
  QF_RETURN_IF_ERROR(callers_.Operator(caller, Role::kViewer).status());
  v1::ListDevicesResponse response;
  QF_RETURN_IF_ERROR(FillPage(
      request, response, response.mutable_devices(),
      [&](std::string_view after, size_t limit) {
        return backend_.store.Read([&](const Transaction& tx) {
          auto page = tx.devices().List(after, limit);
          NameDamaged(tx, response);
          return page;
        });
      },
      [](const v1::Device& device) { return device.id(); }));
  return response;
}

absl::StatusOr<v1::Device> Devices::Get(const Caller& caller, const v1::GetDeviceRequest& request) {
  QF_RETURN_IF_ERROR(callers_.Operator(caller, Role::kViewer).status());
  return backend_.store.Read([&](const Transaction& tx) { return tx.devices().Get(request.id()); });
}

absl::StatusOr<v1::Device> Devices::Revoke(const Caller& caller,
                                           const v1::GetDeviceRequest& request) {
  QF_RETURN_IF_ERROR(callers_.Operator(caller, Role::kAdmin).status());
  FailPoint("device-before-revoked");
  auto revoked = backend_.store.Write([&](Transaction& tx) -> absl::StatusOr<v1::Device> {
    QF_ASSIGN_OR_RETURN(v1::Device device, backend_.fleet.Revoke(tx, request.id()));
    QF_RETURN_IF_ERROR(backend_.rollouts.Skip(tx, device.id(), "the device was revoked"));
    return device;
  });
  FailPoint("device-after-revoked");
  return revoked;
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
        return backend_.store.Read([&](const Transaction& tx) {
          auto page = tx.admission().ListAllowed(after, limit);
          NameDamaged(tx, response);
          return page;
        });
      },
      [](const v1::AllowedDevice& device) { return device.device_id(); }));
  return response;
}

absl::StatusOr<v1::AllowedDevice> Devices::Disallow(const Caller& caller,
                                                    const v1::GetDeviceRequest& request) {
  QF_RETURN_IF_ERROR(callers_.Operator(caller, Role::kAdmin).status());
  return backend_.store.Write(
      [&](Transaction& tx) { return tx.admission().Disallow(request.id()); });
}

absl::StatusOr<v1::ListPendingDevicesResponse> Devices::ListPending(
    const Caller& caller, const v1::ListPendingDevicesRequest&) {
  QF_RETURN_IF_ERROR(callers_.Operator(caller, Role::kViewer).status());
  v1::ListPendingDevicesResponse response;
  QF_RETURN_IF_ERROR(
      FillList(response.mutable_devices(), backend_.store.Read([&](const Transaction& tx) {
        auto list = backend_.fleet.Pending(tx);
        NameDamaged(tx, response);
        return list;
      })));
  return response;
}

absl::StatusOr<v1::Device> Devices::Approve(const Caller& caller,
                                            const v1::GetDeviceRequest& request) {
  QF_RETURN_IF_ERROR(callers_.Operator(caller, Role::kAdmin).status());
  FailPoint("queue-before-approved");
  auto approved = backend_.store.Write([&](Transaction& tx) -> absl::StatusOr<v1::Device> {
    QF_ASSIGN_OR_RETURN(Fleet::Approved done, backend_.fleet.Approve(tx, request.id()));
    if (!done.revoked.empty())
      QF_RETURN_IF_ERROR(backend_.rollouts.Skip(tx, done.revoked,
                                                "the device was replaced by " + done.device.id()));
    return std::move(done.device);
  });
  FailPoint("queue-after-approved");
  return approved;
}

absl::StatusOr<v1::Device> Devices::Reject(const Caller& caller,
                                           const v1::GetDeviceRequest& request) {
  QF_RETURN_IF_ERROR(callers_.Operator(caller, Role::kAdmin).status());
  return backend_.fleet.Reject(request.id());
}

}  // namespace quantfleet::daemon::app
