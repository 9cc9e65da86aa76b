// Jobs: the calls of operators.
#pragma once

#include "daemon/app/backend.h"
#include "daemon/app/callers.h"
#include "daemon/app/watch_source.h"
#include "quantfleet/v1/operator.pb.h"

namespace quantfleet::daemon::app {

class Jobs {
 public:
  Jobs(Backend& backend, Callers& callers) : backend_(backend), callers_(callers) {}

  absl::StatusOr<v1::Job> Submit(const Caller& caller, const v1::SubmitJobRequest& request);
  absl::StatusOr<v1::Job> Get(const Caller& caller, const v1::GetJobRequest& request);
  absl::StatusOr<v1::ListJobsResponse> List(const Caller& caller,
                                            const v1::ListJobsRequest& request);
  absl::StatusOr<v1::Job> Cancel(const Caller& caller, const v1::CancelJobRequest& request);
  absl::StatusOr<WatchSource<v1::Job>> Watch(const Caller& caller,
                                             const v1::GetJobRequest& request);

 private:
  Backend& backend_;
  Callers& callers_;
};

}  // namespace quantfleet::daemon::app
