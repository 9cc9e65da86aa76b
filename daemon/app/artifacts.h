// Artifacts: the calls of operators, and the blobs that artifacts consist of.
#pragma once

#include "daemon/app/backend.h"
#include "daemon/app/callers.h"
#include "daemon/app/watch_source.h"
#include "quantfleet/v1/operator.pb.h"

namespace quantfleet::daemon::app {

class Artifacts {
 public:
  Artifacts(Backend& backend, Callers& callers) : backend_(backend), callers_(callers) {}

  absl::StatusOr<v1::ListArtifactsResponse> List(const Caller& caller,
                                                 const v1::ListArtifactsRequest& request);
  absl::StatusOr<v1::ArtifactDetail> Get(const Caller& caller,
                                         const v1::GetArtifactRequest& request);
  absl::StatusOr<v1::Artifact> Delete(const Caller& caller, const v1::GetArtifactRequest& request);
  absl::StatusOr<v1::CollectGarbageResponse> CollectGarbage(
      const Caller& caller, const v1::CollectGarbageRequest& request);
  absl::StatusOr<v1::Job> Repair(const Caller& caller, const v1::GetArtifactRequest& request);
  absl::StatusOr<v1::Scrub> Scrub(const Caller& caller, const v1::ScrubBlobsRequest& request);
  absl::StatusOr<WatchSource<v1::Scrub>> WatchScrub(const Caller& caller,
                                                    const v1::WatchScrubRequest& request);

 private:
  Backend& backend_;
  Callers& callers_;
};

}  // namespace quantfleet::daemon::app
