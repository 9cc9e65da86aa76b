// Rollouts: what operators ask of them.
#include "daemon/api/services.h"
#include "daemon/rollout/plan.h"
#include "quantfleet/v1/operator.grpc.pb.h"

namespace quantfleet::daemon {
namespace {

using Context = grpc::CallbackServerContext;
using Reactor = grpc::ServerUnaryReactor;

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
  RolloutCalls(Backend& backend, Dispatcher& dispatcher) : backend_(backend), dispatcher_(dispatcher) {}

  Reactor* CreateRollout(Context* context, const v1::CreateRolloutRequest* request,
                         v1::Rollout* answer) override {
    return dispatcher_.Run(context, Access::kPublisher, [=, this](const Caller&) -> absl::Status {
      QF_ASSIGN_OR_RETURN(const Rollouts::CreateRequest translated, Translate(*request));
      return Fill(answer, backend_.rollouts.Create(translated));
    });
  }
  Reactor* GetRollout(Context* context, const v1::GetRolloutRequest* request, v1::Rollout* answer) override {
    return dispatcher_.Run(context, Access::kViewer, [=, this](const Caller&) {
      return Fill(answer, backend_.store.GetRollout(request->name()));
    });
  }
  Reactor* ListRollouts(Context* context, const v1::ListRolloutsRequest*,
                        v1::ListRolloutsResponse* answer) override {
    return dispatcher_.Run(context, Access::kViewer, [=, this](const Caller&) {
      return FillList(answer->mutable_rollouts(), backend_.store.ListRollouts());
    });
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

 private:
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
