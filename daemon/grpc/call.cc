#include "daemon/grpc/call.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>
#include <grpcpp/support/slice.h>

#include <cstdlib>
#include <vector>

#include "common/net/channel.h"
#include "daemon/door/peer.h"

namespace quantfleet::daemon {

absl::Status Overloaded() {
  return Unavailable("the daemon is overloaded or stopping: try again later");
}

namespace {

// As the door writes it, without the port.
std::string AddressOf(const grpc::CallbackServerContext& context) {
  const std::string peer = PeerName(context.peer());
  return peer.substr(0, peer.rfind(':'));
}

}  // namespace

const google::protobuf::MethodDescriptor& Dispatcher::Method(std::string_view service,
                                                             std::string_view function) {
  const google::protobuf::MethodDescriptor* const found =
      google::protobuf::DescriptorPool::generated_pool()->FindMethodByName(
          fmt::format("quantfleet.v1.{}.{}", service, function));
  if (found == nullptr) std::abort();  // its translator does not compile as an override either
  return *found;
}

void Dispatcher::Refused(std::string_view path, const absl::Status& why) {
  // Strangers ask as often as they like: where nobody is free to write it down, it is not.
  if (auto record = calls_.Refused(path, why)) (void)quick_.Post(std::move(record));
}

void Dispatcher::Vouch(const grpc::CallbackServerContext& context) {
  met_(context.peer(), /*known=*/true);
}

app::Caller Dispatcher::Meet(const grpc::CallbackServerContext& context) {
  app::Caller caller{net::PeerCertificate(context), AddressOf(context)};
  met_(context.peer(), /*known=*/!caller.certificate_pem.empty());
  return caller;
}

absl::StatusOr<std::string> Dispatcher::Read(const grpc::ByteBuffer& bytes,
                                             const google::protobuf::Descriptor& type,
                                             const MessageBounds& bounds) {
  // Before it is copied, too.
  if (bytes.Length() > bounds.bytes)
    return ResourceExhausted("the message has {} bytes; this call takes at most {}", bytes.Length(),
                             bounds.bytes);
  std::string flat;
  std::vector<grpc::Slice> slices;
  if (!bytes.Dump(&slices).ok()) return Internal("the message cannot be read");
  for (const grpc::Slice& slice : slices)
    flat.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  QF_RETURN_IF_ERROR(CheckMessage(flat, type, bounds));
  return flat;
}

absl::Status Dispatcher::Write(const google::protobuf::Message& message, grpc::ByteBuffer& bytes) {
  const grpc::Slice slice(SerializeClean(message));
  grpc::ByteBuffer made(&slice, 1);
  bytes.Swap(&made);
  return absl::OkStatus();
}

grpc::ServerUnaryReactor* Dispatcher::RunOn(WorkerPool& pool, grpc::CallbackServerContext* context,
                                            Work work) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  const auto answer = [context, reactor, caller = Meet(*context), work = std::move(work)] {
    const absl::Status status = work(caller);
    net::AddRetryAfter(*context, status);
    reactor->Finish(net::ToGrpc(status));
  };
  const bool posted = pool.Post(answer);
  if (!posted) reactor->Finish(net::ToGrpc(Overloaded()));
  return reactor;
}

grpc::ServerUnaryReactor* Dispatcher::RunForDevice(grpc::CallbackServerContext* context,
                                                   Work work) {
  return RunOn(quick_, context, [this, work = std::move(work)](const app::Caller& caller) {
    return for_device_(work(caller));
  });
}

void Dispatcher::Stop() {
  quick_.Stop();
  slow_.Stop();
}

}  // namespace quantfleet::daemon
