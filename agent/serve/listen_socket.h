// The socket on which the endpoint listens. POSIX alone: the network thread takes it over.
#pragma once

#include <string>

#include "agent/serve/listen_address.h"
#include "common/base/status.h"

namespace quantfleet::agent {

struct ListenSocket {
  int fd = -1;  // the caller's to close
  int family = 0;
  std::string endpoint;  // "127.0.0.1:port" with the port that it got, "unix:PATH"
};

// A unix socket has mode 0600 before anybody can connect; one that a killed process left behind is replaced.
// UNAVAILABLE: the address is taken. ALREADY_EXISTS: the path is there and is no socket.
absl::StatusOr<ListenSocket> OpenListenSocket(const std::string& address);

}  // namespace quantfleet::agent
