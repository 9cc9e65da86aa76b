#include "daemon/grpc/call.h"

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include "common/net/channel.h"

namespace quantfleet::daemon {

absl::Status Overloaded() {
  return Unavailable("the daemon is overloaded or stopping: try again later");
}

grpc::ServerUnaryReactor* Dispatcher::RunOn(WorkerPool& pool, grpc::CallbackServerContext* context,
                                            Work work) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  const bool posted = pool.Post([context, reactor, work = std::move(work)] {
    absl::Status status;
    try {
      status = work({net::PeerCertificate(*context)});
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
