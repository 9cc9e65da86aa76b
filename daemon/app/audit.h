// The audit log: the calls of operators that read it. Calls (calls.h) write it.
#pragma once

#include "daemon/app/backend.h"
#include "daemon/app/callers.h"
#include "quantfleet/v1/operator.pb.h"

namespace quantfleet::daemon::app {

class Audit {
 public:
  Audit(Backend& backend, Callers& callers) : backend_(backend), callers_(callers) {}

  // For admins: it says who works from which address, and when.
  absl::StatusOr<v1::ListAuditResponse> List(const Caller& caller,
                                             const v1::ListAuditRequest& request);

 private:
  Backend& backend_;
  Callers& callers_;
};

}  // namespace quantfleet::daemon::app
