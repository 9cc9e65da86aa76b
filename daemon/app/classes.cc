#include "daemon/app/classes.h"

#include "daemon/app/page.h"

namespace quantfleet::daemon::app {

absl::StatusOr<v1::ListDeviceClassesResponse> Classes::List(const Caller& caller,
                                                            const v1::ListDeviceClassesRequest&) {
  QF_RETURN_IF_ERROR(callers_.Operator(caller, Role::kViewer).status());
  v1::ListDeviceClassesResponse response;
  QF_RETURN_IF_ERROR(
      FillList(response.mutable_classes(), backend_.store.Read([&](const Transaction& tx) {
        auto list = tx.classes().List();
        NameDamaged(tx, response);
        return list;
      })));
  return response;
}

absl::StatusOr<v1::DeviceClass> Classes::Apply(const Caller& caller,
                                               const v1::ApplyDeviceClassRequest& request) {
  QF_RETURN_IF_ERROR(callers_.Operator(caller, Role::kPublisher).status());
  return backend_.classes.Apply(request.toml());
}

}  // namespace quantfleet::daemon::app
