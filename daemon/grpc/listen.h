// Where gRPC's port is opened.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/http/listen_socket.h"

namespace quantfleet::daemon {

// One for each address of `host`, all with the same port, the first free one for 0. A wildcard of
// either family means both, where the machine has both. Closed again unless all could be opened.
// UNAVAILABLE: an address is taken; INVALID_ARGUMENT: `host` has none. `flag` is where another one
// is named.
absl::StatusOr<std::vector<http::ListenSocket>> OpenListenSockets(const std::string& host,
                                                                  uint16_t port,
                                                                  std::string_view flag);

}  // namespace quantfleet::daemon
