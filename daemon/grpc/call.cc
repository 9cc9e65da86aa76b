#include "daemon/grpc/call.h"

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>
#include <grpcpp/support/slice.h>

#include <vector>

#include "common/net/channel.h"

namespace quantfleet::daemon {

absl::Status Overloaded() {
  return Unavailable("the daemon is overloaded or stopping: try again later");
}

namespace {

std::string TextOf(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  std::string text;
  if (!buffer.Dump(&slices).ok()) return text;  // not a message, then
  for (const grpc::Slice& slice : slices)
    text.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  return text;
}

// gRPC has it as "ipv4:192.0.2.1:4711".
std::string AddressOf(const grpc::CallbackServerContext& context) {
  const std::string peer = context.peer();
  return peer.substr(0, peer.rfind(':'));
}

}  // namespace

grpc::ServerUnaryReactor* Dispatcher::RunBytesOn(WorkerPool& pool,
                                                 grpc::CallbackServerContext* context,
                                                 const grpc::ByteBuffer* request,
                                                 grpc::ByteBuffer* answer, BytesWork work) {
  return RunOn(
      pool, context,
      [request, answer, work = std::move(work)](const app::Caller& caller) -> absl::Status {
        QF_ASSIGN_OR_RETURN(const std::string bytes, work(caller, TextOf(*request)));
        const grpc::Slice slice(bytes);
        *answer = grpc::ByteBuffer(&slice, 1);
        return absl::OkStatus();
      });
}

grpc::ServerUnaryReactor* Dispatcher::RunOn(WorkerPool& pool, grpc::CallbackServerContext* context,
                                            Work work) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  const bool posted = pool.Post([context, reactor, work = std::move(work)] {
    absl::Status status;
    try {
      status = work({net::PeerCertificate(*context), AddressOf(*context)});
    } catch (const std::exception& e) {
      status = Internal("{}", e.what());
    }
    net::AddRetryAfter(*context, status);
    reactor->Finish(net::ToGrpc(status));
  });
  if (!posted) reactor->Finish(net::ToGrpc(Overloaded()));
  return reactor;
}

void Dispatcher::Stop() {
  quick_.Stop();
  slow_.Stop();
}

}  // namespace quantfleet::daemon
