// Models, jobs and artifacts.
#include "common/net/channel.h"
#include "daemon/grpc/services.h"
#include "daemon/grpc/watch.h"
#include "daemon/trust/evaluation.h"
#include "pipeline/artifact/evaluation.h"
#include "pipeline/artifact/program/agent_release.h"
#include "quantfleet/v1/operator.grpc.pb.h"

namespace quantfleet::daemon {
namespace {

using Context = grpc::CallbackServerContext;
using Reactor = grpc::ServerUnaryReactor;

v1::PushState ToProto(const ModelRegistry::PushProgress& progress) {
  v1::PushState state;
  state.set_push_id(progress.push_id);
  for (const auto& entry : progress.files) {
    v1::PushFile& file = *state.add_files();
    file.set_path(entry.file.path);
    file.set_size(entry.file.size);
    file.set_sha256(entry.file.sha256.raw());
    file.set_received(entry.received);
  }
  return state;
}

absl::Status FillState(v1::PushState* answer,
                       const absl::StatusOr<ModelRegistry::PushProgress>& progress) {
  QF_RETURN_IF_ERROR(progress.status());
  *answer = ToProto(*progress);
  return absl::OkStatus();
}

// Whoever brings a program of the agent brings code to every device.
Access AccessToBring(std::string_view model) {
  return model == pipeline::kAgentModel ? Access::kAdmin : Access::kPublisher;
}

// One message is written before the next is read, so a stream holds one message in memory and never
// runs ahead of the disk. Whatever ends the stream, also a cancellation, ends it through
// OnReadDone(false).
class PushReader final : public grpc::ServerReadReactor<v1::PushData> {
 public:
  PushReader(Context* context, v1::PushState* answer, Backend& backend, Dispatcher& dispatcher)
      : context_(context), answer_(answer), backend_(backend), dispatcher_(dispatcher) {
    StartRead(&data_);
  }

  void OnReadDone(bool ok) override {
    const bool posted = dispatcher_.slow().Post([this, ok] { ok ? Write() : Complete(); });
    if (!posted) Finish(net::ToGrpc(Overloaded()));
  }
  void OnDone() override { delete this; }

 private:
  absl::Status WriteOne() {
    if (!allowed_) {
      QF_RETURN_IF_ERROR(dispatcher_.Identify(*context_, Access::kPublisher).status());
      allowed_ = true;
      push_id_ = data_.push_id();
    }
    if (data_.push_id() != push_id_)
      return InvalidArgument("a stream writes to one push, not {} too", data_.push_id());
    return backend_.models.WritePush(push_id_, data_.path(), data_.offset(), AsBytes(data_.data()));
  }

  void Write() {
    if (const absl::Status status = WriteOne(); !status.ok()) return Finish(net::ToGrpc(status));
    StartRead(&data_);
  }

  void Complete() {
    if (!allowed_) return Finish(net::ToGrpc(InvalidArgument("the stream was empty")));
    Finish(net::ToGrpc(FillState(answer_, backend_.models.SyncPush(push_id_))));
  }

  Context* const context_;
  v1::PushState* const answer_;
  Backend& backend_;
  Dispatcher& dispatcher_;
  v1::PushData data_;
  std::string push_id_;
  bool allowed_ = false;
};

class Models final : public v1::ModelService::CallbackService {
 public:
  Models(Backend& backend, Dispatcher& dispatcher) : backend_(backend), dispatcher_(dispatcher) {}

  Reactor* ImportModel(Context* context, const v1::ImportModelRequest* request,
                       v1::Model* answer) override {
    return dispatcher_.RunSlow(context, AccessToBring(request->name()), [=, this](const Caller&) {
      return Fill(answer,
                  backend_.models.Import(request->request_id(), request->name(), request->path()));
    });
  }
  Reactor* BeginPush(Context* context, const v1::BeginPushRequest* request,
                     v1::PushState* answer) override {
    return dispatcher_.RunSlow(
        context, AccessToBring(request->name()), [=, this](const Caller&) -> absl::Status {
          std::vector<PushedFile> files;
          for (const v1::PushFile& file : request->files()) {
            const auto sha256 = Digest::FromRaw(file.sha256());
            if (!sha256.ok()) return InvalidArgument("{}: sha256 must have 32 bytes", file.path());
            files.push_back({file.path(), file.size(), *sha256});
          }
          return FillState(
              answer, backend_.models.BeginPush(request->request_id(), request->name(), files));
        });
  }
  grpc::ServerReadReactor<v1::PushData>* WritePush(Context* context,
                                                   v1::PushState* answer) override {
    return new PushReader(context, answer, backend_, dispatcher_);
  }
  Reactor* CommitPush(Context* context, const v1::CommitPushRequest* request,
                      v1::Model* answer) override {
    return dispatcher_.RunSlow(context, Access::kPublisher, [=, this](const Caller&) {
      return Fill(answer, backend_.models.CommitPush(request->push_id()));
    });
  }
  Reactor* ListModels(Context* context, const v1::ListModelsRequest*,
                      v1::ListModelsResponse* answer) override {
    return dispatcher_.Run(context, Access::kViewer, [=, this](const Caller&) {
      return FillList(answer->mutable_models(), backend_.store.Read([&](const Transaction& tx) {
        return tx.models().List();
      }));
    });
  }
  Reactor* GetModel(Context* context, const v1::GetModelRequest* request,
                    v1::Model* answer) override {
    return dispatcher_.Run(context, Access::kViewer, [=, this](const Caller&) {
      return Fill(answer, backend_.store.Read([&](const Transaction& tx) {
        return tx.models().Get(request->name());
      }));
    });
  }

 private:
  Backend& backend_;
  Dispatcher& dispatcher_;
};

class Jobs final : public v1::JobService::CallbackService {
 public:
  Jobs(Backend& backend, Dispatcher& dispatcher) : backend_(backend), dispatcher_(dispatcher) {}

  Reactor* SubmitJob(Context* context, const v1::SubmitJobRequest* request,
                     v1::Job* answer) override {
    return dispatcher_.Run(context, Access::kPublisher, [=, this](const Caller&) {
      const std::vector<std::string> classes(request->device_classes().begin(),
                                             request->device_classes().end());
      return Fill(answer, backend_.jobs.Submit(request->request_id(), request->model(), classes));
    });
  }
  Reactor* GetJob(Context* context, const v1::GetJobRequest* request, v1::Job* answer) override {
    return dispatcher_.Run(context, Access::kViewer, [=, this](const Caller&) {
      return Fill(answer, backend_.jobs.Get(request->name()));
    });
  }
  Reactor* ListJobs(Context* context, const v1::ListJobsRequest*,
                    v1::ListJobsResponse* answer) override {
    return dispatcher_.Run(context, Access::kViewer, [=, this](const Caller&) {
      return FillList(answer->mutable_jobs(), backend_.jobs.List());
    });
  }
  Reactor* CancelJob(Context* context, const v1::CancelJobRequest* request,
                     v1::Job* answer) override {
    return dispatcher_.Run(context, Access::kPublisher, [=, this](const Caller&) {
      return Fill(answer, backend_.jobs.Cancel(request->name()));
    });
  }
  grpc::ServerWriteReactor<v1::Job>* WatchJob(Context* context,
                                              const v1::GetJobRequest* request) override {
    WatchSource<v1::Job> source;
    source.subscribe = [name = request->name(), this](std::function<void()> wake) {
      return backend_.jobs.Watch(name, [wake = std::move(wake)](const v1::Job&) { wake(); });
    };
    source.next = [name = request->name(), this]() -> absl::StatusOr<WatchStep<v1::Job>> {
      QF_ASSIGN_OR_RETURN(v1::Job job, backend_.jobs.Get(name));
      const bool done = job.done();
      return WatchStep<v1::Job>{.message = std::move(job), .last = done};
    };
    return StartWatch(context, dispatcher_, std::move(source));
  }

 private:
  Backend& backend_;
  Dispatcher& dispatcher_;
};

class Artifacts final : public v1::ArtifactService::CallbackService {
 public:
  Artifacts(Backend& backend, Dispatcher& dispatcher)
      : backend_(backend), dispatcher_(dispatcher) {}

  Reactor* ListArtifacts(Context* context, const v1::ListArtifactsRequest* request,
                         v1::ListArtifactsResponse* answer) override {
    return dispatcher_.Run(context, Access::kViewer, [=, this](const Caller&) {
      return FillList(answer->mutable_artifacts(), backend_.store.Read([&](const Transaction& tx) {
        return tx.artifacts().List(request->model());
      }));
    });
  }
  Reactor* GetArtifact(Context* context, const v1::GetArtifactRequest* request,
                       v1::ArtifactDetail* answer) override {
    return dispatcher_.Run(context, Access::kViewer, [=, this](const Caller&) -> absl::Status {
      QF_ASSIGN_OR_RETURN(ArtifactRecord record, backend_.store.Read([&](const Transaction& tx) {
        return tx.artifacts().Get(request->name());
      }));
      if (!answer->mutable_manifest()->ParseFromString(record.manifest))
        return DataLoss("the manifest of {} is damaged", record.artifact.name());
      *answer->mutable_artifact() = std::move(record.artifact);
      for (v1::EvaluationStatement& evaluation : EvaluationsIn(record.statements))
        pipeline::KeepNewest(std::move(evaluation), *answer->mutable_evaluations());
      if (answer->evaluations_size() > 0)
        *answer->mutable_evaluation() = *answer->evaluations().rbegin();
      for (v1::Signed& statement : record.statements)
        *answer->add_statements() = std::move(statement);
      return absl::OkStatus();
    });
  }
  Reactor* DeleteArtifact(Context* context, const v1::GetArtifactRequest* request,
                          v1::Artifact* answer) override {
    return dispatcher_.Run(context, Access::kPublisher, [=, this](const Caller&) {
      return Fill(answer, backend_.store.Write([&](Transaction& tx) {
        return tx.artifacts().Delete(request->name());
      }));
    });
  }
  Reactor* CollectGarbage(Context* context, const v1::CollectGarbageRequest* request,
                          v1::CollectGarbageResponse* answer) override {
    return dispatcher_.RunSlow(
        context, Access::kPublisher, [=, this](const Caller&) -> absl::Status {
          QF_ASSIGN_OR_RETURN(const Collected collected, backend_.jobs.Collect(request->dry_run()));
          answer->set_blobs_kept(collected.blobs_kept);
          answer->set_bytes_kept(collected.bytes_kept);
          answer->set_blobs_removed(collected.blobs_removed);
          answer->set_bytes_removed(collected.bytes_removed);
          answer->set_jobs_forgotten(collected.jobs_forgotten);
          return absl::OkStatus();
        });
  }

 private:
  Backend& backend_;
  Dispatcher& dispatcher_;
};

}  // namespace

void AddModelServices(Backend& backend, Dispatcher& dispatcher, Services& services) {
  services.push_back(std::make_unique<Models>(backend, dispatcher));
  services.push_back(std::make_unique<Jobs>(backend, dispatcher));
  services.push_back(std::make_unique<Artifacts>(backend, dispatcher));
}

}  // namespace quantfleet::daemon
