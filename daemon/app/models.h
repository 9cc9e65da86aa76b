// Models: the calls of operators to the model registry.
#pragma once

#include <string>
#include <string_view>

#include "daemon/app/backend.h"
#include "daemon/app/callers.h"
#include "quantfleet/v1/operator.pb.h"

namespace quantfleet::daemon::app {

// The files of one push as they come in, for the operator who opened the call. Not thread-safe.
class PushSession {
 public:
  absl::Status Write(const v1::PushData& data);
  // Makes durable what has been written. INVALID_ARGUMENT: nothing was.
  absl::StatusOr<v1::PushState> Sync();

 private:
  friend class Models;
  PushSession(ModelRegistry& models, std::string push_id)
      : models_(&models), push_id_(std::move(push_id)) {}

  ModelRegistry* models_;
  std::string push_id_;
};

class Models {
 public:
  Models(Backend& backend, Callers& callers) : backend_(backend), callers_(callers) {}

  // Pushing a program of the agent takes an admin: it becomes code on every device.
  absl::StatusOr<v1::Model> Import(const Caller& caller, const v1::ImportModelRequest& request);
  absl::StatusOr<v1::PushState> BeginPush(const Caller& caller,
                                          const v1::BeginPushRequest& request);
  absl::StatusOr<PushSession> OpenPush(const Caller& caller, std::string_view push_id);
  absl::StatusOr<v1::Model> CommitPush(const Caller& caller, const v1::CommitPushRequest& request);
  absl::StatusOr<v1::ListModelsResponse> List(const Caller& caller,
                                              const v1::ListModelsRequest& request);
  absl::StatusOr<v1::Model> Get(const Caller& caller, const v1::GetModelRequest& request);

 private:
  Backend& backend_;
  Callers& callers_;
};

}  // namespace quantfleet::daemon::app
