#include "common/net/grpc_exit.h"

#include <grpc/grpc.h>

#include <cstdlib>

namespace quantfleet::net {

void AwaitGrpcAtExit() {
  // Registered behind OpenSSL's own handler, which gRPC's start has registered, and therefore run before it.
  static const int registered = std::atexit([] {
    grpc_init();
    grpc_shutdown_blocking();
  });
  static_cast<void>(registered);
}

}  // namespace quantfleet::net
