#include "daemon/grpc/listen.h"

#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <memory>

namespace quantfleet::daemon {
namespace {

absl::StatusOr<std::vector<std::string>> AddressesOf(const std::string& host) {
  if (http::IsNumericHost(host)) return std::vector{host};
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_ADDRCONFIG;
  addrinfo* found = nullptr;
  if (const int error = ::getaddrinfo(host.c_str(), nullptr, &hints, &found); error != 0)
    return InvalidArgument("gRPC: {} is not an address to listen at ({}): use an IP address", host,
                           ::gai_strerror(error));
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owned(found, &::freeaddrinfo);
  std::vector<std::string> addresses;
  for (const addrinfo* at = found; at != nullptr; at = at->ai_next) {
    char text[NI_MAXHOST] = {};
    if (::getnameinfo(at->ai_addr, at->ai_addrlen, text, sizeof text, nullptr, 0, NI_NUMERICHOST) ==
            0 &&
        std::ranges::find(addresses, text) == addresses.end())
      addresses.emplace_back(text);
  }
  return addresses;
}

}  // namespace

absl::StatusOr<std::vector<http::ListenSocket>> OpenListenSockets(const std::string& host,
                                                                  uint16_t port,
                                                                  std::string_view flag) {
  if (host == "0.0.0.0") {
    // The other wildcard takes IPv4's connections, too.
    if (auto both = OpenListenSockets("::", port, flag); both.ok()) return both;
  }
  QF_ASSIGN_OR_RETURN(const std::vector<std::string> addresses, AddressesOf(host));
  std::vector<http::ListenSocket> sockets;
  for (const std::string& address : addresses) {
    const auto socket = http::OpenListenSocket({address, port, {}});
    if (!socket.ok()) {
      for (const http::ListenSocket& opened : sockets) ::close(opened.fd);
      return Unavailable(
          "gRPC: cannot listen at {}:{}: the port may be in use by another process: stop it, or "
          "choose another address with {}",
          host, port, flag);
    }
    sockets.push_back(*socket);
    port = socket->port;
  }
  if (sockets.empty()) return InvalidArgument("gRPC: {} is not an address to listen at", host);
  return sockets;
}

}  // namespace quantfleet::daemon
