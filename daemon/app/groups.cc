#include "daemon/app/groups.h"

#include "daemon/app/page.h"
#include "daemon/fleet/groups.h"

namespace quantfleet::daemon::app {

absl::StatusOr<v1::DeviceGroup> Groups::Apply(const Caller& caller,
                                              const v1::ApplyGroupRequest& request) {
  QF_RETURN_IF_ERROR(callers_.Operator(caller, Role::kPublisher).status());
  return ApplyGroup(backend_.store, request.group(), backend_.clock.Now());
}

absl::StatusOr<v1::ListGroupsResponse> Groups::List(const Caller& caller,
                                                    const v1::ListGroupsRequest&) {
  QF_RETURN_IF_ERROR(callers_.Operator(caller, Role::kViewer).status());
  v1::ListGroupsResponse response;
  QF_RETURN_IF_ERROR(
      FillList(response.mutable_groups(), backend_.store.Read([&](const Transaction& tx) {
        auto list = tx.groups().List();
        NameDamaged(tx, response);
        return list;
      })));
  return response;
}

absl::StatusOr<v1::GroupDetail> Groups::Get(const Caller& caller,
                                            const v1::GetGroupRequest& request) {
  QF_RETURN_IF_ERROR(callers_.Operator(caller, Role::kViewer).status());
  return backend_.store.Read([&](const Transaction& tx) -> absl::StatusOr<v1::GroupDetail> {
    v1::GroupDetail detail;
    QF_ASSIGN_OR_RETURN(*detail.mutable_group(), tx.groups().Get(request.name()));
    QF_RETURN_IF_ERROR(FillPage(
        request, detail, detail.mutable_members(),
        [&](std::string_view after, size_t limit) {
          return GroupMembers(tx, detail.group(), after, limit);
        },
        [](const std::string& id) { return id; }));
    return detail;
  });
}

absl::StatusOr<v1::DeviceGroup> Groups::Delete(const Caller& caller,
                                               const v1::GetGroupRequest& request) {
  QF_RETURN_IF_ERROR(callers_.Operator(caller, Role::kPublisher).status());
  return backend_.store.Write([&](Transaction& tx) { return tx.groups().Delete(request.name()); });
}

}  // namespace quantfleet::daemon::app
