// Rollouts: the calls of operators.
#pragma once

#include "daemon/app/backend.h"
#include "daemon/app/callers.h"
#include "daemon/app/watch_source.h"
#include "quantfleet/v1/operator.pb.h"

namespace quantfleet::daemon::app {

class RolloutCalls {
 public:
  RolloutCalls(Backend& backend, Callers& callers) : backend_(backend), callers_(callers) {}

  absl::StatusOr<v1::Rollout> Create(const Caller& caller, const v1::CreateRolloutRequest& request);
  absl::StatusOr<v1::Rollout> Get(const Caller& caller, const v1::GetRolloutRequest& request);
  absl::StatusOr<v1::ListRolloutsResponse> List(const Caller& caller,
                                                const v1::ListRolloutsRequest& request);
  absl::StatusOr<WatchSource<v1::Rollout>> Watch(const Caller& caller,
                                                 const v1::WatchRolloutRequest& request);
  absl::StatusOr<v1::Rollout> Pause(const Caller& caller, const v1::RolloutActionRequest& request);
  absl::StatusOr<v1::Rollout> Resume(const Caller& caller, const v1::RolloutActionRequest& request);
  absl::StatusOr<v1::Rollout> Approve(const Caller& caller,
                                      const v1::RolloutActionRequest& request);
  absl::StatusOr<v1::Rollout> Abort(const Caller& caller, const v1::RolloutActionRequest& request);
  absl::StatusOr<v1::Rollout> RollBack(const Caller& caller,
                                       const v1::RolloutActionRequest& request);
  absl::StatusOr<v1::Rollout> AllowDownload(const Caller& caller,
                                            const v1::AllowDownloadRequest& request);

 private:
  absl::StatusOr<v1::Rollout> Act(const Caller& caller, const v1::RolloutActionRequest& request,
                                  RolloutEvent event);

  Backend& backend_;
  Callers& callers_;
};

}  // namespace quantfleet::daemon::app
