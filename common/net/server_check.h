// Whether the server at the other end of a TLS connection is the daemon: the one rule for gRPC and
// HTTPS. Pure but for ServerTrust::time; thread-safe when that is.
#pragma once

#include <string_view>

#include "common/net/channel.h"

namespace quantfleet::net {

// chain_pem: what the server presented, leaf first.
absl::Status CheckServer(std::string_view chain_pem, const ServerTrust& trust);

}  // namespace quantfleet::net
