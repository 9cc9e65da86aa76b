// The state of the daemon as a whole: for operators, for its metrics and for readiness checks.
#pragma once

#include "daemon/app/backend.h"
#include "daemon/app/callers.h"
#include "quantfleet/v1/operator.pb.h"

namespace quantfleet::daemon::app {

class DaemonStatus {
 public:
  DaemonStatus(Backend& backend, Callers& callers) : backend_(backend), callers_(callers) {}

  absl::StatusOr<v1::Status> Get(const Caller& caller, const v1::GetStatusRequest& request);
  // For anybody: nothing but numbers.
  absl::StatusOr<Counts> Count();

 private:
  Backend& backend_;
  Callers& callers_;
};

}  // namespace quantfleet::daemon::app
