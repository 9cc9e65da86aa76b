// Rollouts: what operators ask of them.
#include <google/protobuf/util/message_differencer.h>

#include "daemon/grpc/services.h"
#include "daemon/grpc/watch.h"
#include "daemon/rollout/plan.h"
#include "quantfleet/v1/operator.grpc.pb.h"

namespace quantfleet::daemon {
namespace {

using Context = grpc::CallbackServerContext;
using Reactor = grpc::ServerUnaryReactor;

// Each message counts all of the rollout's rows.
constexpr std::chrono::milliseconds kWatchRest{200};

absl::StatusOr<Rollouts::CreateRequest> Translate(const v1::CreateRolloutRequest& request) {
  Rollouts::CreateRequest translated{request.request_id(),
                                     request.model(),
                                     {request.device_ids().begin(), request.device_ids().end()},
                                     {request.artifacts().begin(), request.artifacts().end()},
                                     request.plan(),
                                     Labels(request.selector().begin(), request.selector().end()),
                                     request.dry_run(),
                                     request.draft(),
                                     request.group()};
  if (request.plan_toml().empty()) return translated;
  if (request.has_plan()) return InvalidArgument("plan and plan_toml: give one of them");
  QF_ASSIGN_OR_RETURN(translated.plan, ParsePlan(request.plan_toml()));
  return translated;
}

class RolloutCalls final : public v1::RolloutService::CallbackService {
 public:
  RolloutCalls(Backend& backend, Dispatcher& dispatcher)
      : backend_(backend), dispatcher_(dispatcher) {}

  Reactor* CreateRollout(Context* context, const v1::CreateRolloutRequest* request,
                         v1::Rollout* answer) override {
    return dispatcher_.Run(context, Access::kPublisher, [=, this](const Caller&) -> absl::Status {
      QF_ASSIGN_OR_RETURN(const Rollouts::CreateRequest translated, Translate(*request));
      return Fill(answer, backend_.rollouts.Create(translated));
    });
  }
  Reactor* GetRollout(Context* context, const v1::GetRolloutRequest* request,
                      v1::Rollout* answer) override {
    return dispatcher_.Run(context, Access::kViewer, [=, this](const Caller&) {
      return Fill(answer, backend_.store.Read([&](const Transaction& tx) {
        return tx.rollouts().GetPage(request->name(), request->page_token(),
                                     PageSize(request->page_size()));
      }));
    });
  }
  Reactor* ListRollouts(Context* context, const v1::ListRolloutsRequest*,
                        v1::ListRolloutsResponse* answer) override {
    return dispatcher_.Run(context, Access::kViewer, [=, this](const Caller&) {
      return FillList(answer->mutable_rollouts(), backend_.store.Read([&](const Transaction& tx) {
        return tx.rollouts().List();
      }));
    });
  }
  grpc::ServerWriteReactor<v1::Rollout>* WatchRollout(
      Context* context, const v1::WatchRolloutRequest* request) override {
    auto told = std::make_shared<Told>();
    if (request->revision() > 0) told->revision = request->revision();
    WatchSource<v1::Rollout> source;
    source.subscribe = [name = request->name(), this](std::function<void()> wake) {
      return backend_.store.changes().Subscribe(
          [name, wake = std::move(wake)](const Change& change) {
            if (change.kind == Change::Kind::kRollout && change.name == name) wake();
          });
    };
    source.next = [name = request->name(), told, this] { return NextOf(name, *told); };
    source.rest = kWatchRest;
    return StartWatch(context, dispatcher_, std::move(source));
  }
  Reactor* PauseRollout(Context* context, const v1::RolloutActionRequest* request,
                        v1::Rollout* answer) override {
    return Act(context, request, answer, RolloutEvent::kPause);
  }
  Reactor* ResumeRollout(Context* context, const v1::RolloutActionRequest* request,
                         v1::Rollout* answer) override {
    return Act(context, request, answer, RolloutEvent::kResume);
  }
  Reactor* ApproveRollout(Context* context, const v1::RolloutActionRequest* request,
                          v1::Rollout* answer) override {
    return dispatcher_.Run(context, Access::kPublisher, [=, this](const Caller&) {
      return Fill(answer, backend_.rollouts.Approve(request->name(), request->phase()));
    });
  }
  Reactor* AbortRollout(Context* context, const v1::RolloutActionRequest* request,
                        v1::Rollout* answer) override {
    return Act(context, request, answer, RolloutEvent::kAbort);
  }
  Reactor* RollbackRollout(Context* context, const v1::RolloutActionRequest* request,
                           v1::Rollout* answer) override {
    return Act(context, request, answer, RolloutEvent::kRollBack);
  }
  Reactor* AllowDownload(Context* context, const v1::AllowDownloadRequest* request,
                         v1::Rollout* answer) override {
    return dispatcher_.Run(context, Access::kPublisher, [=, this](const Caller&) {
      return Fill(answer,
                  backend_.rollouts.AllowDownload(request->name(), {request->device_ids().begin(),
                                                                    request->device_ids().end()}));
    });
  }

 private:
  // What a watcher knows.
  struct Told {
    std::optional<uint64_t> revision;
    v1::Rollout summary;
  };
  absl::StatusOr<WatchStep<v1::Rollout>> NextOf(const std::string& name, Told& told) {
    QF_ASSIGN_OR_RETURN(v1::Rollout now, backend_.store.Read([&](const Transaction& tx) {
      return tx.rollouts().GetChanges(name, told.revision, kMaxPerPage);
    }));
    WatchStep<v1::Rollout> next;
    next.more = static_cast<uint32_t>(now.devices_size()) == kMaxPerPage;
    next.last = IsFinal(now.state()) && !next.more;
    v1::Rollout summary = now;
    summary.clear_devices();
    // A row that changed has another revision. Transactions that change nothing here wake the watch
    // too.
    const bool known =
        told.revision && google::protobuf::util::MessageDifferencer::Equals(summary, told.summary);
    told.revision = now.revision();
    told.summary = std::move(summary);
    if (!known) next.message = std::move(now);
    return next;
  }

  Reactor* Act(Context* context, const v1::RolloutActionRequest* request, v1::Rollout* answer,
               RolloutEvent event) {
    return dispatcher_.Run(context, Access::kPublisher, [=, this](const Caller&) {
      return Fill(answer, backend_.rollouts.Act(request->name(), event, request->reason()));
    });
  }

  Backend& backend_;
  Dispatcher& dispatcher_;
};

}  // namespace

void AddRolloutService(Backend& backend, Dispatcher& dispatcher, Services& services) {
  services.push_back(std::make_unique<RolloutCalls>(backend, dispatcher));
}

}  // namespace quantfleet::daemon
