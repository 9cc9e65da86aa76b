#include "daemon/app/jobs.h"

#include "daemon/app/page.h"

namespace quantfleet::daemon::app {

absl::StatusOr<v1::Job> Jobs::Submit(const Caller& caller, const v1::SubmitJobRequest& request) {
  QF_RETURN_IF_ERROR(callers_.Operator(caller, Role::kPublisher).status());
  const std::vector<std::string> classes(request.device_classes().begin(),
                                         request.device_classes().end());
  return backend_.jobs.Submit(
      request.request_id(), request.model(), classes,
      {request.calibration(), request.calibration_text(), request.rounding(), request.fold()});
}

absl::StatusOr<v1::Job> Jobs::Get(const Caller& caller, const v1::GetJobRequest& request) {
  QF_RETURN_IF_ERROR(callers_.Operator(caller, Role::kViewer).status());
  return backend_.jobs.Get(request.name());
}

absl::StatusOr<v1::ListJobsResponse> Jobs::List(const Caller& caller, const v1::ListJobsRequest&) {
  QF_RETURN_IF_ERROR(callers_.Operator(caller, Role::kViewer).status());
  v1::ListJobsResponse response;
  QF_RETURN_IF_ERROR(
      FillList(response.mutable_jobs(), backend_.store.Read([&](const Transaction& tx) {
        auto list = backend_.jobs.List(tx);
        NameDamaged(tx, response);
        return list;
      })));
  return response;
}

absl::StatusOr<v1::Job> Jobs::Cancel(const Caller& caller, const v1::CancelJobRequest& request) {
  QF_RETURN_IF_ERROR(callers_.Operator(caller, Role::kPublisher).status());
  return backend_.jobs.Cancel(request.name());
}

absl::StatusOr<WatchSource<v1::Job>> Jobs::Watch(const Caller& caller,
                                                 const v1::GetJobRequest& request) {
  QF_RETURN_IF_ERROR(callers_.Operator(caller, Role::kViewer).status());
  WatchSource<v1::Job> source;
  source.subscribe = [name = request.name(), this](std::function<void()> wake) {
    return backend_.jobs.Watch(name, [wake = std::move(wake)](const v1::Job&) { wake(); });
  };
  source.next = [name = request.name(), this]() -> absl::StatusOr<WatchStep<v1::Job>> {
    QF_ASSIGN_OR_RETURN(v1::Job job, backend_.jobs.Get(name));
    const bool done = job.done();
    return WatchStep<v1::Job>{.message = std::move(job), .last = done};
  };
  return source;
}

}  // namespace quantfleet::daemon::app
