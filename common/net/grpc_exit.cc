#include "common/net/grpc_exit.h"

#include <grpc/grpc.h>
#include <openssl/crypto.h>

#include <cstdlib>

namespace quantfleet::net {
namespace {

// Before main, since the first use of OpenSSL decides: its state stays to the end, for threads that
// still run.
[[maybe_unused]] const int kept_openssl = OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, nullptr);

}  // namespace

void AwaitGrpcAtExit() {
  static const int registered = std::atexit([] {
    grpc_init();
    grpc_shutdown_blocking();
  });
  static_cast<void>(registered);
}

}  // namespace quantfleet::net
