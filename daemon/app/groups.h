// Groups of devices: the calls of operators.
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
  // With a page of the devices that belong to it now: slow in a large fleet.
  absl::StatusOr<v1::GroupDetail> Get(const Caller& caller, const v1::GetGroupRequest& request);
  absl::StatusOr<v1::DeviceGroup> Delete(const Caller& caller, const v1::GetGroupRequest& request);

 private:
  Backend& backend_;
  Callers& callers_;
};

}  // namespace quantfleet::daemon::app
