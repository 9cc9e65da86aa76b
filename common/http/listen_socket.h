// Addresses as the kernel takes them, and the socket on which a server listens. Plain POSIX: the
// server's thread takes the socket over.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <string>

#include "common/base/status.h"

namespace quantfleet::http {

struct ListenAddress {
  std::string host;  // numeric
  uint16_t port = 0;
  std::string path;  // of a unix socket; then there is no host
};
// Whether it is an IPv4 or IPv6 address rather than a name.
bool IsNumericHost(const std::string& host);

// As the kernel takes it.
struct SocketAddress {
  sockaddr_storage at;
  socklen_t size;
};
SocketAddress ToSocketAddress(const ListenAddress& address);
// What of an address one client cannot change at will: all of an IPv4 one, the first 64 bits of an
// IPv6 one, also where the former is written as the latter. Empty for others.
std::string ClientNetwork(const sockaddr* address);

struct ListenSocket {
  int fd = -1;  // the caller's to close
  int family = 0;
  uint16_t port = 0;     // the one it got; 0 for a unix socket
  std::string endpoint;  // "127.0.0.1:port", "[::1]:port", "unix:PATH"
};

// A unix socket has mode 0600 before anybody can connect; one that a killed process left behind is
// replaced. UNAVAILABLE: the address is taken, or the kernel refuses it; `error_number` is then the
// kernel's errno, or 0 if there was none. ALREADY_EXISTS: there is something else than a socket at
// the path.
absl::StatusOr<ListenSocket> OpenListenSocket(const ListenAddress& address,
                                              int* error_number = nullptr);

}  // namespace quantfleet::http
