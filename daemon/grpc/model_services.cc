// Models, jobs and artifacts.
#include <optional>

#include "common/net/channel.h"
#include "daemon/grpc/services.h"
#include "daemon/grpc/watch.h"
#include "quantfleet/v1/operator.grpc.pb.h"

namespace quantfleet::daemon {
namespace {

using Context = grpc::CallbackServerContext;
using Reactor = grpc::ServerUnaryReactor;

// One message is written before the next is read, so a stream holds one message in memory and never
// runs ahead of the disk. Whatever ends the stream, even a cancellation, ends it with
// OnReadDone(false).
class PushReader final : public grpc::ServerReadReactor<v1::PushData> {
 public:
  PushReader(Dispatcher::Named method, app::Caller caller, v1::PushState* answer,
             app::Models& models, Dispatcher& dispatcher)
      : method_(method),
        caller_(std::move(caller)),
        answer_(answer),
        models_(models),
        calls_(dispatcher.calls()),
        pool_(dispatcher.slow()) {
    StartRead(&data_);
  }

  void OnReadDone(bool ok) override {
    const bool posted = pool_.Post([this, ok] { ok ? Write() : Complete(); });
    if (!posted) Finish(net::ToGrpc(Overloaded()));
  }
  void OnDone() override { delete this; }

 private:
  absl::Status WriteOne() {
    if (!session_) {
      QF_ASSIGN_OR_RETURN(session_, models_.OpenPush(caller_, data_.push_id()));
    }
    return session_->Write(data_);
  }

  void Write() {
    if (const absl::Status status = WriteOne(); !status.ok()) return End(status);
    StartRead(&data_);
  }

  // The stream as a whole is the call.
  void End(const absl::Status& status) {
    Finish(net::ToGrpc(calls_.Run({caller_, method_}, [&] { return status; })));
  }

  void Complete() {
    if (!session_) return End(InvalidArgument("the stream was empty"));
    const auto sync = [this]() -> absl::Status {
      QF_ASSIGN_OR_RETURN(*answer_, session_->Sync());
      return absl::OkStatus();
    };
    End(sync());
  }

  Dispatcher::Named method_;
  const app::Caller caller_;
  v1::PushState* const answer_;
  app::Models& models_;
  app::Calls& calls_;
  WorkerPool& pool_;
  v1::PushData data_;
  std::optional<app::PushSession> session_;
};

class ModelService final : public v1::ModelService::CallbackService {
 public:
  ModelService(app::App& app, Dispatcher& dispatcher) : app_(app), dispatcher_(dispatcher) {}

  Reactor* ImportModel(Context* context, const v1::ImportModelRequest* request,
                       v1::Model* answer) override {
    return dispatcher_.RunSlow(Method(__func__), context, request, answer, app_.models,
                               &app::Models::Import);
  }
  Reactor* BeginPush(Context* context, const v1::BeginPushRequest* request,
                     v1::PushState* answer) override {
    return dispatcher_.RunSlow(Method(__func__), context, request, answer, app_.models,
                               &app::Models::BeginPush);
  }
  Reactor* CommitPush(Context* context, const v1::CommitPushRequest* request,
                      v1::Model* answer) override {
    return dispatcher_.RunSlow(Method(__func__), context, request, answer, app_.models,
                               &app::Models::CommitPush);
  }
  Reactor* ListModels(Context* context, const v1::ListModelsRequest* request,
                      v1::ListModelsResponse* answer) override {
    return dispatcher_.Run(Method(__func__), context, request, answer, app_.models,
                           &app::Models::List);
  }
  Reactor* GetModel(Context* context, const v1::GetModelRequest* request,
                    v1::Model* answer) override {
    return dispatcher_.Run(Method(__func__), context, request, answer, app_.models,
                           &app::Models::Get);
  }
  grpc::ServerReadReactor<v1::PushData>* WritePush(Context* context,
                                                   v1::PushState* answer) override {
    return new PushReader(Method(__func__), dispatcher_.Meet(*context), answer, app_.models,
                          dispatcher_);
  }

 private:
  static Dispatcher::Named Method(std::string_view function) {
    return Dispatcher::Method("ModelService", function);
  }

  app::App& app_;
  Dispatcher& dispatcher_;
};

class JobService final : public v1::JobService::CallbackService {
 public:
  JobService(app::App& app, Dispatcher& dispatcher) : app_(app), dispatcher_(dispatcher) {}

  Reactor* SubmitJob(Context* context, const v1::SubmitJobRequest* request,
                     v1::Job* answer) override {
    return dispatcher_.Run(Method(__func__), context, request, answer, app_.jobs,
                           &app::Jobs::Submit);
  }
  Reactor* GetJob(Context* context, const v1::GetJobRequest* request, v1::Job* answer) override {
    return dispatcher_.Run(Method(__func__), context, request, answer, app_.jobs, &app::Jobs::Get);
  }
  Reactor* ListJobs(Context* context, const v1::ListJobsRequest* request,
                    v1::ListJobsResponse* answer) override {
    return dispatcher_.Run(Method(__func__), context, request, answer, app_.jobs, &app::Jobs::List);
  }
  Reactor* CancelJob(Context* context, const v1::CancelJobRequest* request,
                     v1::Job* answer) override {
    return dispatcher_.Run(Method(__func__), context, request, answer, app_.jobs,
                           &app::Jobs::Cancel);
  }
  grpc::ServerWriteReactor<v1::Job>* WatchJob(Context* context,
                                              const v1::GetJobRequest* request) override {
    return StartWatch<v1::Job>(Method(__func__), context, dispatcher_,
                               [this, request = *request](const app::Caller& caller) {
                                 return app_.jobs.Watch(caller, request);
                               });
  }

 private:
  static Dispatcher::Named Method(std::string_view function) {
    return Dispatcher::Method("JobService", function);
  }

  app::App& app_;
  Dispatcher& dispatcher_;
};

class ArtifactService final : public v1::ArtifactService::CallbackService {
 public:
  ArtifactService(app::App& app, Dispatcher& dispatcher) : app_(app), dispatcher_(dispatcher) {}

  Reactor* ListArtifacts(Context* context, const v1::ListArtifactsRequest* request,
                         v1::ListArtifactsResponse* answer) override {
    return dispatcher_.Run(Method(__func__), context, request, answer, app_.artifacts,
                           &app::Artifacts::List);
  }
  Reactor* GetArtifact(Context* context, const v1::GetArtifactRequest* request,
                       v1::ArtifactDetail* answer) override {
    return dispatcher_.Run(Method(__func__), context, request, answer, app_.artifacts,
                           &app::Artifacts::Get);
  }
  Reactor* DeleteArtifact(Context* context, const v1::GetArtifactRequest* request,
                          v1::Artifact* answer) override {
    return dispatcher_.Run(Method(__func__), context, request, answer, app_.artifacts,
                           &app::Artifacts::Delete);
  }
  Reactor* CollectGarbage(Context* context, const v1::CollectGarbageRequest* request,
                          v1::CollectGarbageResponse* answer) override {
    return dispatcher_.RunSlow(Method(__func__), context, request, answer, app_.artifacts,
                               &app::Artifacts::CollectGarbage);
  }
  Reactor* RepairArtifact(Context* context, const v1::GetArtifactRequest* request,
                          v1::Job* answer) override {
    return dispatcher_.Run(Method(__func__), context, request, answer, app_.artifacts,
                           &app::Artifacts::Repair);
  }
  Reactor* ScrubBlobs(Context* context, const v1::ScrubBlobsRequest* request,
                      v1::Scrub* answer) override {
    return dispatcher_.Run(Method(__func__), context, request, answer, app_.artifacts,
                           &app::Artifacts::Scrub);
  }
  grpc::ServerWriteReactor<v1::Scrub>* WatchScrub(Context* context,
                                                  const v1::WatchScrubRequest* request) override {
    return StartWatch<v1::Scrub>(Method(__func__), context, dispatcher_,
                                 [this, request = *request](const app::Caller& caller) {
                                   return app_.artifacts.WatchScrub(caller, request);
                                 });
  }

 private:
  static Dispatcher::Named Method(std::string_view function) {
    return Dispatcher::Method("ArtifactService", function);
  }

  app::App& app_;
  Dispatcher& dispatcher_;
};

}  // namespace

void AddModelServices(app::App& app, Dispatcher& dispatcher, Services& services) {
  services.push_back(std::make_unique<ModelService>(app, dispatcher));
  services.push_back(std::make_unique<JobService>(app, dispatcher));
  services.push_back(std::make_unique<ArtifactService>(app, dispatcher));
}

}  // namespace quantfleet::daemon
