// Groups of devices: what operators ask of them.
#pragma once

#include "daemon/app/backend.h"
#include "daemon/app/callers.h"
#include "quantfleet/v1/operator.pb.h"

namespace quantfleet::daemon::app {

class Groups {
 public:
  Groups(Backend& backend, Callers& callers) : backend_(backend), callers_(callers) {}

  absl::StatusOr<v1::DeviceGroup> Apply(const Caller& caller, const v1::ApplyGroupRequest& request);
  absl::StatusOr<v1::ListGroupsResponse> List(const Caller& caller,
                                              const v1::ListGroupsRequest& request);
  // With a page of those that belong to it now: slow where the fleet is large.
  absl::StatusOr<v1::GroupDetail> Get(const Caller& caller, const v1::GetGroupRequest& request);
  absl::StatusOr<v1::DeviceGroup> Delete(const Caller& caller, const v1::GetGroupRequest& request);

 private:
  Backend& backend_;
  Callers& callers_;
};

}  // namespace quantfleet::daemon::app
