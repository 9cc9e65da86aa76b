#include "daemon/grpc/call.h"

#include <google/protobuf/message.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include "common/net/channel.h"

namespace quantfleet::daemon {

absl::Status Overloaded() {
  return Unavailable("the daemon is overloaded or stopping: try again later");
}

void Dispatcher::Vouch(const grpc::CallbackServerContext& context) {
  met_(context.peer(), /*known=*/true);
}

app::Caller Dispatcher::Meet(const grpc::CallbackServerContext& context) {
  app::Caller caller{net::PeerCertificate(context)};
  met_(context.peer(), /*known=*/!caller.certificate_pem.empty());
  return caller;
}

absl::Status Dispatcher::Read(const grpc::ByteBuffer& bytes, const MessageBounds& bounds,
                              google::protobuf::Message& message) {
  std::string flat;
  // Before it is copied, too.
  if (bytes.Length() <= bounds.bytes) {
    std::vector<grpc::Slice> slices;
    if (!bytes.Dump(&slices).ok()) return Internal("the message cannot be read");
    for (const grpc::Slice& slice : slices)
      flat.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  } else {
    return ResourceExhausted("the message has {} bytes; this call takes at most {}", bytes.Length(),
                             bounds.bytes);
  }
  QF_RETURN_IF_ERROR(CheckMessage(flat, *message.GetDescriptor(), bounds));
  return message.ParseFromString(flat) ? absl::OkStatus()
                                       : InvalidArgument("the message is malformed");
}

absl::Status Dispatcher::Write(const google::protobuf::Message& message, grpc::ByteBuffer& bytes) {
  const grpc::Slice slice(message.SerializeAsString());
  grpc::ByteBuffer made(&slice, 1);
  bytes.Swap(&made);
  return absl::OkStatus();
}

grpc::ServerUnaryReactor* Dispatcher::RunOn(WorkerPool& pool, grpc::CallbackServerContext* context,
                                            Work work) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  const auto answer = [context, reactor, caller = Meet(*context), work = std::move(work)] {
    absl::Status status;
    try {
      status = work(caller);
    } catch (const std::exception& e) {
      status = Internal("{}", e.what());
    }
    net::AddRetryAfter(*context, status);
    reactor->Finish(net::ToGrpc(status));
  };
  const bool posted = pool.Post(answer);
  if (!posted) reactor->Finish(net::ToGrpc(Overloaded()));
  return reactor;
}

void Dispatcher::Stop() {
  quick_.Stop();
  slow_.Stop();
}

}  // namespace quantfleet::daemon
