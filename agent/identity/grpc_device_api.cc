// The only file of the agent that speaks gRPC.

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <chrono>
#include <mutex>
#include <set>

#include "agent/identity/device_api.h"
#include "common/message/clean.h"
#include "quantfleet/v1/device.grpc.pb.h"

namespace quantfleet::agent {
namespace {

// A manifest with its chunk list may be some tens of MB over a thin line; all else is small.
constexpr auto kReconnect =
    std::chrono::seconds(2);  // how long a call waits for a connection that was lost
constexpr auto kDeadline = std::chrono::seconds(20);
constexpr auto kArtifactDeadline = std::chrono::seconds(300);

class GrpcDeviceApi final : public DeviceApi {
 public:
  explicit GrpcDeviceApi(const std::shared_ptr<grpc::Channel>& channel)
      : channel_(channel), stub_(v1::DeviceService::NewStub(channel)) {}

  absl::StatusOr<v1::Identity> Enroll(const v1::EnrollRequest& request) override {
    return Call<v1::Identity>(&v1::DeviceService::Stub::Enroll, request, kDeadline);
  }
  absl::StatusOr<v1::Challenge> GetChallenge(const v1::GetChallengeRequest& request) override {
    return Call<v1::Challenge>(&v1::DeviceService::Stub::GetChallenge, request, kDeadline);
  }
  absl::StatusOr<v1::Identity> Renew(const v1::RenewRequest& request) override {
    return Call<v1::Identity>(&v1::DeviceService::Stub::Renew, request, kDeadline);
  }
  absl::StatusOr<v1::CheckInResponse> CheckIn(const v1::CheckInRequest& request) override {
    return Call<v1::CheckInResponse>(&v1::DeviceService::Stub::CheckIn, request, kDeadline);
  }
  absl::StatusOr<v1::DeviceArtifact> GetArtifact(
      const v1::GetDeviceArtifactRequest& request) override {
    return Call<v1::DeviceArtifact>(&v1::DeviceService::Stub::GetArtifact, request,
                                    kArtifactDeadline);
  }

  void Cancel() override {
    std::lock_guard lock(mutex_);
    cancelled_ = true;
    for (grpc::ClientContext* context : active_) context->TryCancel();
  }

 private:
  template <typename Response, typename Request>
  using Method = grpc::Status (v1::DeviceService::Stub::*)(grpc::ClientContext*, const Request&,
                                                           Response*);

  template <typename Response, typename Request>
  absl::StatusOr<Response> Call(Method<Response, Request> method, const Request& request,
                                std::chrono::seconds deadline) {
    // What this machine's files and programs say is a part of it.
    QF_ASSIGN_OR_RETURN(const Request clean, ParseClean<Request>(SerializeClean(request)));
    net::AwaitConnection(*channel_, kReconnect);
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + deadline);
    {
      std::lock_guard lock(mutex_);
      if (cancelled_) return Cancelled("the agent is stopping");
      active_.insert(&context);
    }
    Response response;
    const grpc::Status status = ((*stub_).*method)(&context, clean, &response);
    {
      std::lock_guard lock(mutex_);
      active_.erase(&context);
    }
    if (!status.ok()) return net::FromGrpc(status, context);
    return response;
  }

  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<v1::DeviceService::Stub> stub_;
  std::mutex mutex_;
  bool cancelled_ = false;
  std::set<grpc::ClientContext*> active_;
};

}  // namespace

std::shared_ptr<DeviceApi> ConnectGrpc(const std::string& address, const net::ServerTrust& trust,
                                       const net::ClientIdentity& identity) {
  return std::make_shared<GrpcDeviceApi>(net::MakeChannel(address, trust, identity));
}

}  // namespace quantfleet::agent
