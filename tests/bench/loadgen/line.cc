#include "tests/bench/loadgen/line.h"

#include <grpc/grpc_security_constants.h>
#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include "common/net/channel.h"
#include "quantfleet/v1/device.grpc.pb.h"

namespace quantfleet::loadgen {
namespace {

constexpr auto kDeadline = std::chrono::seconds(20);  // as the agent has it

template <typename Request, typename Response>
struct Call {
  explicit Call(Request request_in) : request(std::move(request_in)) {
    context.set_deadline(std::chrono::system_clock::now() + kDeadline);
  }
  absl::StatusOr<Response> Take(const grpc::Status& status) {
    if (!status.ok()) return net::FromGrpc(status);
    return std::move(response);
  }

  grpc::ClientContext context;
  const Request request;
  Response response;
};

bool IsResumed(const grpc::ClientContext& context) {
  const auto peer = context.auth_context();
  if (!peer) return false;
  const auto values = peer->FindPropertyValues(GRPC_SSL_SESSION_REUSED_PROPERTY);
  return !values.empty() && values.front() == "true";
}

}  // namespace

struct Line::Impl {
  explicit Impl(const std::shared_ptr<grpc::Channel>& channel) : stub(channel) {}

  v1::DeviceService::Stub stub;
};

Line::Line(const std::string& address, const std::string& ca_pem, const Identity& identity)
    : impl_(std::make_unique<Impl>(
          net::MakeChannel(address, {.ca_pem = ca_pem, .ca_fingerprint = {}, .time = {}},
                           {identity.certificate_pem, identity.private_pem}))) {}
Line::~Line() = default;
Line::Line(Line&&) noexcept = default;

void Line::CheckIn(v1::CheckInRequest request, CheckedIn done) {
  auto call = std::make_shared<Call<v1::CheckInRequest, v1::CheckInResponse>>(std::move(request));
  impl_->stub.async()->CheckIn(&call->context, &call->request, &call->response,
                               [call, done = std::move(done)](const grpc::Status& status) {
                                 done(call->Take(status), {IsResumed(call->context)});
                               });
}

void Line::GetArtifact(v1::GetDeviceArtifactRequest request, GotArtifact done) {
  auto call =
      std::make_shared<Call<v1::GetDeviceArtifactRequest, v1::DeviceArtifact>>(std::move(request));
  impl_->stub.async()->GetArtifact(
      &call->context, &call->request, &call->response,
      [call, done = std::move(done)](const grpc::Status& status) { done(call->Take(status)); });
}

absl::StatusOr<v1::Identity> Line::Enroll(const v1::EnrollRequest& request) {
  Call<v1::EnrollRequest, v1::Identity> call(request);
  return call.Take(impl_->stub.Enroll(&call.context, call.request, &call.response));
}

}  // namespace quantfleet::loadgen
