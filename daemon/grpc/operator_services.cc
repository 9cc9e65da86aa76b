// Classes, tokens, devices and their groups, status.
#include "daemon/fleet/groups.h"
#include "daemon/grpc/services.h"
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
      return FillList(answer->mutable_classes(), backend_.store.Read([&](const Transaction& tx) {
        return tx.classes().List();
      }));
    });
  }
  Reactor* ApplyDeviceClass(Context* context, const v1::ApplyDeviceClassRequest* request,
                            v1::DeviceClass* answer) override {
    return dispatcher_.Run(context, Access::kPublisher, [=, this](const Caller&) {
      return Fill(answer, backend_.classes.Apply(request->toml()));
    });
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
      QF_ASSIGN_OR_RETURN(
          Fleet::NewToken made,
          backend_.fleet.CreateToken(
              {request->request_id(), request->description(), request->max_uses(),
               request->ttl_seconds(), Labels(request->labels().begin(), request->labels().end()),
               request->device_class(), request->rate_per_hour(), request->approval()}));
      *answer->mutable_token() = std::move(made.token);
      answer->set_secret(std::move(made.secret));
      return absl::OkStatus();
    });
  }
  Reactor* ListTokens(Context* context, const v1::ListTokensRequest*,
                      v1::ListTokensResponse* answer) override {
    return dispatcher_.Run(context, Access::kViewer, [=, this](const Caller&) {
      return FillList(answer->mutable_tokens(), backend_.store.Read([&](const Transaction& tx) {
        return tx.tokens().List();
      }));
    });
  }
  Reactor* RevokeToken(Context* context, const v1::RevokeTokenRequest* request,
                       v1::EnrollmentToken* answer) override {
    return dispatcher_.Run(context, Access::kAdmin, [=, this](const Caller&) {
      return Fill(answer, backend_.fleet.RevokeToken(request->id()));
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
    return dispatcher_.Run(context, Access::kViewer, [=, this](const Caller&) {
      return FillPage(
          *request, answer,
          [](const Transaction& tx, std::string_view after, size_t limit) {
            return tx.devices().List(after, limit);
          },
          &v1::Device::id);
    });
  }
  Reactor* GetDevice(Context* context, const v1::GetDeviceRequest* request,
                     v1::Device* answer) override {
    return dispatcher_.Run(context, Access::kViewer, [=, this](const Caller&) {
      return Fill(answer, backend_.store.Read([&](const Transaction& tx) {
        return tx.devices().Get(request->id());
      }));
    });
  }
  Reactor* RevokeDevice(Context* context, const v1::GetDeviceRequest* request,
                        v1::Device* answer) override {
    return dispatcher_.Run(context, Access::kAdmin, [=, this](const Caller&) -> absl::Status {
      QF_RETURN_IF_ERROR(Fill(answer, backend_.fleet.Revoke(request->id())));
      return Skip(request->id(), "the device was revoked");
    });
  }
  Reactor* ForgetOutgrown(Context* context, const v1::ForgetOutgrownRequest* request,
                          v1::Device* answer) override {
    return dispatcher_.Run(context, Access::kAdmin, [=, this](const Caller&) {
      return Fill(answer, backend_.fleet.ForgetOutgrown(request->id(), request->model()));
    });
  }
  Reactor* LabelDevice(Context* context, const v1::LabelDeviceRequest* request,
                       v1::Device* answer) override {
    return dispatcher_.Run(context, Access::kAdmin, [=, this](const Caller&) {
      return Fill(answer, backend_.fleet.Label(
                              request->id(), Labels(request->set().begin(), request->set().end()),
                              {request->remove().begin(), request->remove().end()}));
    });
  }
  Reactor* AllowDevices(Context* context, const v1::AllowDevicesRequest* request,
                        v1::AllowDevicesResponse* answer) override {
    return dispatcher_.Run(context, Access::kAdmin, [=, this](const Caller&) {
      return FillList(answer->mutable_devices(),
                      backend_.fleet.Allow({request->devices().begin(), request->devices().end()}));
    });
  }
  Reactor* ListAllowedDevices(Context* context, const v1::ListAllowedDevicesRequest* request,
                              v1::ListAllowedDevicesResponse* answer) override {
    return dispatcher_.Run(context, Access::kViewer, [=, this](const Caller&) {
      return FillPage(
          *request, answer,
          [](const Transaction& tx, std::string_view after, size_t limit) {
            return tx.admission().ListAllowed(after, limit);
          },
          &v1::AllowedDevice::device_id);
    });
  }
  Reactor* DisallowDevice(Context* context, const v1::GetDeviceRequest* request,
                          v1::AllowedDevice* answer) override {
    return dispatcher_.Run(context, Access::kAdmin, [=, this](const Caller&) {
      return Fill(answer, backend_.store.Write([&](Transaction& tx) {
        return tx.admission().Disallow(request->id());
      }));
    });
  }
  Reactor* ListPendingDevices(Context* context, const v1::ListPendingDevicesRequest*,
                              v1::ListPendingDevicesResponse* answer) override {
    return dispatcher_.Run(context, Access::kViewer, [=, this](const Caller&) {
      return FillList(answer->mutable_devices(), backend_.fleet.Pending());
    });
  }
  Reactor* ApproveDevice(Context* context, const v1::GetDeviceRequest* request,
                         v1::Device* answer) override {
    return dispatcher_.Run(context, Access::kAdmin, [=, this](const Caller&) -> absl::Status {
      QF_ASSIGN_OR_RETURN(Fleet::Approved approved, backend_.fleet.Approve(request->id()));
      *answer = std::move(approved.device);
      if (approved.revoked.empty()) return absl::OkStatus();
      return Skip(approved.revoked, "the device was replaced by " + answer->id());
    });
  }
  Reactor* RejectDevice(Context* context, const v1::GetDeviceRequest* request,
                        v1::Device* answer) override {
    return dispatcher_.Run(context, Access::kAdmin, [=, this](const Caller&) {
      return Fill(answer, backend_.fleet.Reject(request->id()));
    });
  }

 private:
  absl::Status Skip(const std::string& device_id, const std::string& why) {
    return backend_.store.Write(
        [&](Transaction& tx) { return backend_.rollouts.Skip(tx, device_id, why); });
  }

  template <typename Request, typename Answer, typename List, typename Item>
  absl::Status FillPage(const Request& request, Answer* answer, const List& list,
                        const std::string& (Item::*id)() const) {
    const uint32_t size =
        request.page_size() == 0 ? kMaxPerPage : std::min(request.page_size(), kMaxPerPage);
    // One more than asked for tells whether there is a next page.
    QF_ASSIGN_OR_RETURN(std::vector<Item> items, backend_.store.Read([&](const Transaction& tx) {
      return list(tx, request.page_token(), size + 1);
    }));
    if (items.size() > size) {
      items.resize(size);
      answer->set_next_page_token((items.back().*id)());
    }
    return FillList(answer->mutable_devices(), absl::StatusOr<std::vector<Item>>(std::move(items)));
  }

  Backend& backend_;
  Dispatcher& dispatcher_;
};

class GroupCalls final : public v1::GroupService::CallbackService {
 public:
  GroupCalls(Backend& backend, Dispatcher& dispatcher)
      : backend_(backend), dispatcher_(dispatcher) {}

  Reactor* ApplyGroup(Context* context, const v1::ApplyGroupRequest* request,
                      v1::DeviceGroup* answer) override {
    return dispatcher_.Run(context, Access::kPublisher, [=, this](const Caller&) {
      return Fill(answer,
                  daemon::ApplyGroup(backend_.store, request->group(), backend_.clock.Now()));
    });
  }
  Reactor* ListGroups(Context* context, const v1::ListGroupsRequest*,
                      v1::ListGroupsResponse* answer) override {
    return dispatcher_.Run(context, Access::kViewer, [=, this](const Caller&) {
      return FillList(answer->mutable_groups(), backend_.store.Read([&](const Transaction& tx) {
        return tx.groups().List();
      }));
    });
  }
  Reactor* GetGroup(Context* context, const v1::GetGroupRequest* request,
                    v1::GroupDetail* answer) override {
    return dispatcher_.RunSlow(context, Access::kViewer, [=, this](const Caller&) -> absl::Status {
      const size_t size = PageSize(request->page_size());
      std::vector<std::string> members;
      QF_RETURN_IF_ERROR(backend_.store.Read([&](const Transaction& tx) -> absl::Status {
        QF_ASSIGN_OR_RETURN(*answer->mutable_group(), tx.groups().Get(request->name()));
        QF_ASSIGN_OR_RETURN(members,
                            GroupMembers(tx, answer->group(), request->page_token(), size + 1));
        return absl::OkStatus();
      }));
      if (members.size() > size) {
        members.resize(size);
        answer->set_next_page_token(members.back());
      }
      answer->mutable_members()->Add(members.begin(), members.end());
      return absl::OkStatus();
    });
  }
  Reactor* DeleteGroup(Context* context, const v1::GetGroupRequest* request,
                       v1::DeviceGroup* answer) override {
    return dispatcher_.Run(context, Access::kPublisher, [=, this](const Caller&) {
      return Fill(answer, backend_.store.Write([&](Transaction& tx) {
        return tx.groups().Delete(request->name());
      }));
    });
  }

 private:
  Backend& backend_;
  Dispatcher& dispatcher_;
};

class StatusCalls final : public v1::StatusService::CallbackService {
 public:
  StatusCalls(Backend& backend, Dispatcher& dispatcher)
      : backend_(backend), dispatcher_(dispatcher) {}

  Reactor* GetStatus(Context* context, const v1::GetStatusRequest*, v1::Status* answer) override {
    return dispatcher_.Run(context, Access::kViewer, [=, this](const Caller&) -> absl::Status {
      const int64_t now = ToUnixMillis(backend_.clock.Now());
      const int64_t lately = now - kSeenLatelyIntervals * backend_.fleet.check_in().count();
      QF_ASSIGN_OR_RETURN(const Counts counts, backend_.store.Read([&](const Transaction& tx) {
        return tx.counts().Count(lately);
      }));
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
      answer->set_devices_pending(counts.devices_pending);
      answer->set_ca_sha256(backend_.authority.ca_fingerprint().hex());
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
