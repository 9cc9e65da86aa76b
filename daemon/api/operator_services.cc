// Classes, tokens, devices and their groups, status.
#include "daemon/api/services.h"
#include "daemon/fleet/groups.h"
#include "quantfleet/v1/operator.grpc.pb.h"

namespace quantfleet::daemon {
namespace {

using Context = grpc::CallbackServerContext;
using Reactor = grpc::ServerUnaryReactor;

constexpr int kSeenLatelyIntervals = 3;

class Classes final : public v1::DeviceClassService::CallbackService {
 public:
  Classes(Backend& backend, Dispatcher& dispatcher) : backend_(backend), dispatcher_(dispatcher) {}

  Reactor* ListDeviceClasses(Context* context, const v1::ListDeviceClassesRequest*,
                             v1::ListDeviceClassesResponse* answer) override {
    return dispatcher_.Run(context, Access::kViewer, [=, this](const Caller&) {
      return FillList(answer->mutable_classes(), backend_.store.ListClasses());
    });
  }
  Reactor* ApplyDeviceClass(Context* context, const v1::ApplyDeviceClassRequest* request,
                            v1::DeviceClass* answer) override {
    return dispatcher_.Run(context, Access::kPublisher,
                           [=, this](const Caller&) { return Fill(answer, backend_.classes.Apply(request->toml())); });
  }

 private:
  Backend& backend_;
  Dispatcher& dispatcher_;
};

class Tokens final : public v1::TokenService::CallbackService {
 public:
  Tokens(Backend& backend, Dispatcher& dispatcher) : backend_(backend), dispatcher_(dispatcher) {}

  Reactor* CreateToken(Context* context, const v1::CreateTokenRequest* request,
                       v1::CreateTokenResponse* answer) override {
    return dispatcher_.Run(context, Access::kAdmin, [=, this](const Caller&) -> absl::Status {
      QF_ASSIGN_OR_RETURN(Fleet::NewToken made,
                          backend_.fleet.CreateToken({request->request_id(), request->description(),
                                                      request->max_uses(), request->ttl_seconds(),
                                                      Labels(request->labels().begin(), request->labels().end())}));
      *answer->mutable_token() = std::move(made.token);
      answer->set_secret(std::move(made.secret));
      return absl::OkStatus();
    });
  }
  Reactor* ListTokens(Context* context, const v1::ListTokensRequest*, v1::ListTokensResponse* answer) override {
    return dispatcher_.Run(context, Access::kViewer, [=, this](const Caller&) {
      return FillList(answer->mutable_tokens(), backend_.store.ListTokens());
    });
  }
  Reactor* RevokeToken(Context* context, const v1::RevokeTokenRequest* request, v1::EnrolmentToken* answer) override {
    return dispatcher_.Run(context, Access::kAdmin, [=, this](const Caller&) {
      return Fill(answer, backend_.store.RevokeToken(request->id()));
    });
  }

 private:
  Backend& backend_;
  Dispatcher& dispatcher_;
};

class Devices final : public v1::FleetService::CallbackService {
 public:
  Devices(Backend& backend, Dispatcher& dispatcher) : backend_(backend), dispatcher_(dispatcher) {}

  Reactor* ListDevices(Context* context, const v1::ListDevicesRequest* request,
                       v1::ListDevicesResponse* answer) override {
    return dispatcher_.Run(context, Access::kViewer, [=, this](const Caller&) -> absl::Status {
      const size_t size = PageSize(request->page_size());
      // One more than asked for tells whether there is a next page.
      QF_ASSIGN_OR_RETURN(std::vector<v1::Device> devices, backend_.store.ListDevices(request->page_token(), size + 1));
      if (devices.size() > size) {
        devices.resize(size);
        answer->set_next_page_token(devices.back().id());
      }
      return FillList(answer->mutable_devices(), absl::StatusOr<std::vector<v1::Device>>(std::move(devices)));
    });
  }
  Reactor* GetDevice(Context* context, const v1::GetDeviceRequest* request, v1::Device* answer) override {
    return dispatcher_.Run(context, Access::kViewer, [=, this](const Caller&) {
      return Fill(answer, backend_.store.GetDevice(request->id()));
    });
  }
  Reactor* RevokeDevice(Context* context, const v1::GetDeviceRequest* request, v1::Device* answer) override {
    return dispatcher_.Run(context, Access::kAdmin, [=, this](const Caller&) -> absl::Status {
      QF_RETURN_IF_ERROR(Fill(answer, backend_.fleet.Revoke(request->id())));
      return backend_.rollouts.Skip(request->id(), "the device was revoked");
    });
  }
  Reactor* ForgetOutgrown(Context* context, const v1::ForgetOutgrownRequest* request, v1::Device* answer) override {
    return dispatcher_.Run(context, Access::kAdmin, [=, this](const Caller&) {
      return Fill(answer, backend_.fleet.ForgetOutgrown(request->id(), request->model()));
    });
  }
  Reactor* LabelDevice(Context* context, const v1::LabelDeviceRequest* request, v1::Device* answer) override {
    return dispatcher_.Run(context, Access::kAdmin, [=, this](const Caller&) {
      return Fill(answer, backend_.fleet.Label(request->id(), Labels(request->set().begin(), request->set().end()),
                                               {request->remove().begin(), request->remove().end()}));
    });
  }

 private:
  Backend& backend_;
  Dispatcher& dispatcher_;
};

class GroupCalls final : public v1::GroupService::CallbackService {
 public:
  GroupCalls(Backend& backend, Dispatcher& dispatcher) : backend_(backend), dispatcher_(dispatcher) {}

  Reactor* ApplyGroup(Context* context, const v1::ApplyGroupRequest* request, v1::DeviceGroup* answer) override {
    return dispatcher_.Run(context, Access::kPublisher, [=, this](const Caller&) {
      return Fill(answer, daemon::ApplyGroup(backend_.store, request->group(), backend_.clock.Now()));
    });
  }
  Reactor* ListGroups(Context* context, const v1::ListGroupsRequest*, v1::ListGroupsResponse* answer) override {
    return dispatcher_.Run(context, Access::kViewer, [=, this](const Caller&) {
      return FillList(answer->mutable_groups(), backend_.store.ListGroups());
    });
  }
  Reactor* GetGroup(Context* context, const v1::GetGroupRequest* request, v1::GroupDetail* answer) override {
    return dispatcher_.RunSlow(context, Access::kViewer, [=, this](const Caller&) -> absl::Status {
      QF_ASSIGN_OR_RETURN(*answer->mutable_group(), backend_.store.GetGroup(request->name()));
      const size_t size = PageSize(request->page_size());
      QF_ASSIGN_OR_RETURN(std::vector<std::string> members,
                          GroupMembers(backend_.store, answer->group(), request->page_token(), size + 1));
      if (members.size() > size) {
        members.resize(size);
        answer->set_next_page_token(members.back());
      }
      answer->mutable_members()->Add(members.begin(), members.end());
      return absl::OkStatus();
    });
  }
  Reactor* DeleteGroup(Context* context, const v1::GetGroupRequest* request, v1::DeviceGroup* answer) override {
    return dispatcher_.Run(context, Access::kPublisher, [=, this](const Caller&) {
      return Fill(answer, backend_.store.DeleteGroup(request->name()));
    });
  }

 private:
  Backend& backend_;
  Dispatcher& dispatcher_;
};

class StatusCalls final : public v1::StatusService::CallbackService {
 public:
  StatusCalls(Backend& backend, Dispatcher& dispatcher) : backend_(backend), dispatcher_(dispatcher) {}

  Reactor* GetStatus(Context* context, const v1::GetStatusRequest*, v1::Status* answer) override {
    return dispatcher_.Run(context, Access::kViewer, [=, this](const Caller&) -> absl::Status {
      const int64_t now = ToUnixMillis(backend_.clock.Now());
      const int64_t lately = now - kSeenLatelyIntervals * backend_.fleet.check_in().count();
      QF_ASSIGN_OR_RETURN(const Counts counts, backend_.store.Count(lately));
      answer->set_version(QUANTFLEET_VERSION);
      answer->set_started_ms(backend_.started_ms);
      answer->set_models(counts.models);
      answer->set_artifacts(counts.artifacts);
      answer->set_devices(counts.devices);
      answer->set_devices_seen_lately(counts.devices_seen);
      answer->set_jobs_running(counts.jobs_running);
      answer->set_jobs_queued(counts.jobs_queued);
      answer->set_rollouts_running(counts.rollouts_running);
      answer->set_blob_bytes(counts.stored_bytes);
      answer->set_blob_endpoint(backend_.blob_endpoint);
      return absl::OkStatus();
    });
  }

 private:
  Backend& backend_;
  Dispatcher& dispatcher_;
};

}  // namespace

void AddOperatorServices(Backend& backend, Dispatcher& dispatcher, Services& services) {
  services.push_back(std::make_unique<Classes>(backend, dispatcher));
  services.push_back(std::make_unique<Tokens>(backend, dispatcher));
  services.push_back(std::make_unique<Devices>(backend, dispatcher));
  services.push_back(std::make_unique<GroupCalls>(backend, dispatcher));
  services.push_back(std::make_unique<StatusCalls>(backend, dispatcher));
}

}  // namespace quantfleet::daemon
