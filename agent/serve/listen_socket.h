// Addresses of this machine as the kernel takes them, and the socket on which the endpoint listens.
// POSIX alone: the network thread takes it over.
#pragma once

#include <sys/socket.h>

#include <string>

#include "agent/serve/listen_address.h"
#include "common/base/status.h"

namespace quantfleet::agent {

// As the kernel takes it.
struct SocketAddress {
  sockaddr_storage at;
  socklen_t size;
};
SocketAddress ToSocketAddress(const ListenAddress& address);

struct ListenSocket {
  int fd = -1;  // the caller's to close
  int family = 0;
  std::string endpoint;  // "127.0.0.1:port" with the port that it got, "unix:PATH"
};

// A unix socket has mode 0600 before anybody can connect; one that a killed process left behind is
// replaced. UNAVAILABLE: the address is taken. ALREADY_EXISTS: the path is there and is no socket.
absl::StatusOr<ListenSocket> OpenListenSocket(const std::string& address);

}  // namespace quantfleet::agent
