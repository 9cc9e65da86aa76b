// Device classes: the calls of operators.
#pragma once

#include "daemon/app/backend.h"
#include "daemon/app/callers.h"
#include "quantfleet/v1/operator.pb.h"

namespace quantfleet::daemon::app {

class Classes {
 public:
  Classes(Backend& backend, Callers& callers) : backend_(backend), callers_(callers) {}

  absl::StatusOr<v1::ListDeviceClassesResponse> List(const Caller& caller,
                                                     const v1::ListDeviceClassesRequest& request);
  absl::StatusOr<v1::DeviceClass> Apply(const Caller& caller,
                                        const v1::ApplyDeviceClassRequest& request);

 private:
  Backend& backend_;
  Callers& callers_;
};

}  // namespace quantfleet::daemon::app
