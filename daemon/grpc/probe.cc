#include "daemon/grpc/probe.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/byte_buffer.h>

#include <future>

namespace quantfleet::daemon {
namespace {

constexpr Duration kEvery = std::chrono::seconds(2);
constexpr auto kMost = std::chrono::seconds(2);
constexpr char kHealth[] = "/grpc.health.v1.Health/Check";

}  // namespace

Probe::Probe(std::string address, net::ServerTrust trust, const Clock& clock)
    : address_(std::move(address)), trust_(std::move(trust)), clock_(clock) {}

std::optional<absl::Status> Probe::Last(bool fresh) {
  std::lock_guard lock(mutex_);
  return fresh && clock_.Monotonic() - at_ >= kEvery ? std::nullopt : last_;
}

absl::Status Probe::Check() {
  if (const auto last = Last(/*fresh=*/true)) return *last;
  std::unique_lock asking(asking_, std::try_to_lock);
  if (!asking.owns_lock()) {
    if (const auto last = Last(/*fresh=*/false)) return *last;
    asking.lock();
    if (const auto last = Last(/*fresh=*/true)) return *last;
  }
  const absl::Status answer = Ask();
  std::lock_guard lock(mutex_);
  last_ = answer;
  at_ = clock_.Monotonic();
  return answer;
}

// The empty message asks for the server as a whole, and what it answers is no concern of ours: that
// it is not serving is an answer to those who stop it.
absl::Status Probe::Ask() const {
  grpc::GenericStub stub(net::MakeChannel(address_, trust_, {}));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kMost);
  const grpc::Slice nothing;
  const grpc::ByteBuffer question(&nothing, 1);
  grpc::ByteBuffer answer;
  std::promise<grpc::Status> done;
  stub.UnaryCall(&context, kHealth, {}, &question, &answer,
                 [&done](const grpc::Status& status) { done.set_value(status); });
  const grpc::Status status = done.get_future().get();
  if (status.ok()) return absl::OkStatus();
  return Unavailable("gRPC does not answer at {}: {}", address_, status.error_message());
}

}  // namespace quantfleet::daemon
