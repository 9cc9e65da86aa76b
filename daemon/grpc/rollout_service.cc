// Rollouts: the calls of operators.
#include "daemon/grpc/services.h"
#include "daemon/grpc/watch.h"
#include "quantfleet/v1/operator.grpc.pb.h"

namespace quantfleet::daemon {
namespace {

using Context = grpc::CallbackServerContext;
using Reactor = grpc::ServerUnaryReactor;

class RolloutService final : public v1::RolloutService::CallbackService {
 public:
  RolloutService(app::App& app, Dispatcher& dispatcher) : app_(app), dispatcher_(dispatcher) {}

  Reactor* CreateRollout(Context* context, const v1::CreateRolloutRequest* request,
                         v1::Rollout* answer) override {
    return dispatcher_.Run(Method(__func__), context, request, answer, app_.rollouts,
                           &app::RolloutCalls::Create);
  }
  Reactor* GetRollout(Context* context, const v1::GetRolloutRequest* request,
                      v1::Rollout* answer) override {
    return dispatcher_.Run(Method(__func__), context, request, answer, app_.rollouts,
                           &app::RolloutCalls::Get);
  }
  Reactor* ListRollouts(Context* context, const v1::ListRolloutsRequest* request,
                        v1::ListRolloutsResponse* answer) override {
    return dispatcher_.Run(Method(__func__), context, request, answer, app_.rollouts,
                           &app::RolloutCalls::List);
  }
  Reactor* PauseRollout(Context* context, const v1::RolloutActionRequest* request,
                        v1::Rollout* answer) override {
    return dispatcher_.Run(Method(__func__), context, request, answer, app_.rollouts,
                           &app::RolloutCalls::Pause);
  }
  Reactor* ResumeRollout(Context* context, const v1::RolloutActionRequest* request,
                         v1::Rollout* answer) override {
    return dispatcher_.Run(Method(__func__), context, request, answer, app_.rollouts,
                           &app::RolloutCalls::Resume);
  }
  Reactor* ApproveRollout(Context* context, const v1::RolloutActionRequest* request,
                          v1::Rollout* answer) override {
    return dispatcher_.Run(Method(__func__), context, request, answer, app_.rollouts,
                           &app::RolloutCalls::Approve);
  }
  Reactor* AbortRollout(Context* context, const v1::RolloutActionRequest* request,
                        v1::Rollout* answer) override {
    return dispatcher_.Run(Method(__func__), context, request, answer, app_.rollouts,
                           &app::RolloutCalls::Abort);
  }
  Reactor* RollbackRollout(Context* context, const v1::RolloutActionRequest* request,
                           v1::Rollout* answer) override {
    return dispatcher_.Run(Method(__func__), context, request, answer, app_.rollouts,
                           &app::RolloutCalls::RollBack);
  }
  Reactor* AllowDownload(Context* context, const v1::AllowDownloadRequest* request,
                         v1::Rollout* answer) override {
    return dispatcher_.Run(Method(__func__), context, request, answer, app_.rollouts,
                           &app::RolloutCalls::AllowDownload);
  }
  grpc::ServerWriteReactor<v1::Rollout>* WatchRollout(
      Context* context, const v1::WatchRolloutRequest* request) override {
    return StartWatch<v1::Rollout>(Method(__func__), context, dispatcher_,
                                   [this, request = *request](const app::Caller& caller) {
                                     return app_.rollouts.Watch(caller, request);
                                   });
  }

 private:
  static Dispatcher::Named Method(std::string_view function) {
    return Dispatcher::Method("RolloutService", function);
  }

  app::App& app_;
  Dispatcher& dispatcher_;
};

}  // namespace

void AddRolloutService(app::App& app, Dispatcher& dispatcher, Services& services) {
  services.push_back(std::make_unique<RolloutService>(app, dispatcher));
}

}  // namespace quantfleet::daemon
