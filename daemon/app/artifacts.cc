#include "daemon/app/artifacts.h"

#include "daemon/app/page.h"
#include "daemon/trust/evaluation.h"
#include "pipeline/artifact/evaluation.h"

namespace quantfleet::daemon::app {

absl::StatusOr<v1::ListArtifactsResponse> Artifacts::List(const Caller& caller,
                                                          const v1::ListArtifactsRequest& request) {
  QF_RETURN_IF_ERROR(callers_.Operator(caller, Role::kViewer).status());
  v1::ListArtifactsResponse response;
  QF_RETURN_IF_ERROR(
      FillList(response.mutable_artifacts(), backend_.store.Read([&](const Transaction& tx) {
        auto list = tx.artifacts().List(request.model());
        NameDamaged(tx, response);
        return list;
      })));
  return response;
}

absl::StatusOr<v1::ArtifactDetail> Artifacts::Get(const Caller& caller,
                                                  const v1::GetArtifactRequest& request) {
  QF_RETURN_IF_ERROR(callers_.Operator(caller, Role::kViewer).status());
  QF_ASSIGN_OR_RETURN(ArtifactRecord record, backend_.store.Read([&](const Transaction& tx) {
    return tx.artifacts().Get(request.name());
  }));
  v1::ArtifactDetail detail;
  if (!detail.mutable_manifest()->ParseFromString(record.manifest))
    return DataLoss("the manifest of {0} is damaged: run `quantfleet artifact repair {0}`",
                    record.artifact.name());
  *detail.mutable_artifact() = std::move(record.artifact);
  for (v1::EvaluationStatement& evaluation : EvaluationsIn(record.statements))
    pipeline::KeepNewest(std::move(evaluation), *detail.mutable_evaluations());
  if (detail.evaluations_size() > 0) *detail.mutable_evaluation() = *detail.evaluations().rbegin();
  for (v1::Signed& statement : record.statements) *detail.add_statements() = std::move(statement);
  return detail;
}

absl::StatusOr<v1::Artifact> Artifacts::Delete(const Caller& caller,
                                               const v1::GetArtifactRequest& request) {
  QF_RETURN_IF_ERROR(callers_.Operator(caller, Role::kPublisher).status());
  return backend_.store.Write(
      [&](Transaction& tx) { return tx.artifacts().Delete(request.name()); });
}

absl::StatusOr<v1::CollectGarbageResponse> Artifacts::CollectGarbage(
    const Caller& caller, const v1::CollectGarbageRequest& request) {
  QF_RETURN_IF_ERROR(
      callers_.Operator(caller, request.dry_run() ? Role::kViewer : Role::kPublisher).status());
  QF_ASSIGN_OR_RETURN(const Collected collected, backend_.jobs.Collect(request.dry_run()));
  v1::CollectGarbageResponse response;
  response.set_blobs_kept(collected.blobs_kept);
  response.set_bytes_kept(collected.bytes_kept);
  response.set_blobs_removed(collected.blobs_removed);
  response.set_bytes_removed(collected.bytes_removed);
  response.set_jobs_forgotten(collected.jobs_forgotten);
  for (const Damaged& job : collected.damaged) response.add_damaged("job " + job.name);
  return response;
}

absl::StatusOr<v1::Job> Artifacts::Repair(const Caller& caller,
                                          const v1::GetArtifactRequest& request) {
  QF_RETURN_IF_ERROR(callers_.Operator(caller, Role::kPublisher).status());
  QF_ASSIGN_OR_RETURN(const std::string name, backend_.store.Read([&](const Transaction& tx) {
    return tx.artifacts().Resolve(request.name());
  }));
  return backend_.jobs.Repair({name}).front().second;
}

absl::StatusOr<v1::Scrub> Artifacts::Scrub(const Caller& caller, const v1::ScrubBlobsRequest&) {
  QF_RETURN_IF_ERROR(callers_.Operator(caller, Role::kAdmin).status());
  return backend_.scrubber.Begin();
}

absl::StatusOr<WatchSource<v1::Scrub>> Artifacts::WatchScrub(const Caller& caller,
                                                             const v1::WatchScrubRequest&) {
  QF_RETURN_IF_ERROR(callers_.Operator(caller, Role::kViewer).status());
  WatchSource<v1::Scrub> source;
  source.subscribe = [this](std::function<void()> wake) {
    return backend_.scrubber.Watch([wake = std::move(wake)](const v1::Scrub&) { wake(); });
  };
  source.next = [this]() -> absl::StatusOr<WatchStep<v1::Scrub>> {
    v1::Scrub scrub = backend_.scrubber.Get();
    const bool last = scrub.state() != v1::Scrub::RUNNING;
    return WatchStep<v1::Scrub>{.message = std::move(scrub), .last = last};
  };
  return source;
}

}  // namespace quantfleet::daemon::app
