#include "daemon/door/peer.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>

namespace quantfleet::daemon {

std::string PeerName(const sockaddr* address) {
  char text[INET6_ADDRSTRLEN] = {};
  if (address->sa_family == AF_INET) {
    const auto* four = reinterpret_cast<const sockaddr_in*>(address);
    ::inet_ntop(AF_INET, &four->sin_addr, text, sizeof text);
    return fmt::format("{}:{}", text, ntohs(four->sin_port));
  }
  if (address->sa_family != AF_INET6) return "";
  const auto* six = reinterpret_cast<const sockaddr_in6*>(address);
  if (IN6_IS_ADDR_V4MAPPED(&six->sin6_addr))
    ::inet_ntop(AF_INET, six->sin6_addr.s6_addr + 12, text, sizeof text);
  else
    ::inet_ntop(AF_INET6, &six->sin6_addr, text, sizeof text);
  return fmt::format("{}:{}", text, ntohs(six->sin6_port));
}

std::string PeerName(std::string_view uri) {
  constexpr std::string_view four = "ipv4:", six = "ipv6:";
  if (uri.starts_with(four)) return std::string(uri.substr(four.size()));
  if (!uri.starts_with(six)) return "";
  // "[fe80::1%25eth0]:4711", the brackets also as "%5B" and "%5D": they are no part of the name,
  // nor is the zone.
  uri.remove_prefix(six.size());
  const size_t colon = uri.rfind(':');
  if (colon == std::string_view::npos) return "";
  std::string_view host = uri.substr(0, colon);
  if (host.starts_with("%5B"))
    host.remove_prefix(3);
  else if (host.starts_with('['))
    host.remove_prefix(1);
  return fmt::format("{}{}", host.substr(0, host.find_first_of("%]")), uri.substr(colon));
}

}  // namespace quantfleet::daemon
