#include "agent/serve/listen_address.h"

#include <absl/strings/ascii.h>
#include <arpa/inet.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstring>

namespace quantfleet::agent {
namespace {

constexpr std::string_view kUnix = "unix:", kLocalhost = "localhost:";
constexpr int kMaxPorts = 16;  // that are tried where any will do

bool IsIpv4Loopback(const std::string& host) {
  in_addr address{};
  return ::inet_pton(AF_INET, host.c_str(), &address) == 1 && ntohl(address.s_addr) >> 24 == 127;
}

bool IsIpv6Loopback(const std::string& host) {
  in6_addr address{};
  return ::inet_pton(AF_INET6, host.c_str(), &address) == 1 && IN6_IS_ADDR_LOOPBACK(&address);
}

}  // namespace

absl::StatusOr<http::ListenAddress> ParseListenAddress(const std::string& text) {
  if (text.starts_with(kUnix)) {
    http::ListenAddress unix_address{{}, 0, text.substr(kUnix.size())};
    const std::string& path = unix_address.path;
    if (path.empty() || path.size() >= sizeof(sockaddr_un::sun_path) ||
        path.find('\0') != std::string::npos)
      return InvalidArgument("\"{}\": the path of a unix socket must have 1 to {} bytes", text,
                             sizeof(sockaddr_un::sun_path) - 1);
    return unix_address;
  }
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos)
    return InvalidArgument("\"{}\" is not an address: write HOST:PORT or unix:PATH", text);
  http::ListenAddress address{text.substr(0, colon), 0, {}};
  std::string& host = address.host;
  if (host.size() > 2 && host.front() == '[' && host.back() == ']')
    host = host.substr(1, host.size() - 2);
  if (host == "localhost") host = "127.0.0.1";
  const auto [end, error] =
      std::from_chars(text.data() + colon + 1, text.data() + text.size(), address.port);
  if (error != std::errc() || end != text.data() + text.size())
    return InvalidArgument("\"{}\": the port must be a number from 0 to 65535", text);
  if (!IsIpv4Loopback(host) && !IsIpv6Loopback(host))
    return InvalidArgument(
        "\"{}\" is not a loopback address: the endpoint does not authenticate callers, so it can "
        "be reached only from this machine; to serve others, put an authenticating proxy in front "
        "of it",
        text);
  return address;
}

absl::StatusOr<std::vector<http::ListenSocket>> OpenListenSockets(const std::string& address) {
  QF_ASSIGN_OR_RETURN(const http::ListenAddress parsed, ParseListenAddress(address));
  for (int again = 0;; ++again) {
    int error = 0;
    auto first = http::OpenListenSocket(parsed, &error);
    if (error != 0) return Unavailable("listening on {}: {}", address, std::strerror(error));
    if (!first.ok()) return first.status();
    if (!address.starts_with(kLocalhost)) return std::vector{*first};
    auto second = http::OpenListenSocket({"::1", first->port, {}}, &error);
    if (second.ok()) return std::vector{*first, *second};
    if (error != EADDRINUSE) return std::vector{*first};  // no IPv6 here
    ::close(first->fd);
    // Port 0: the kernel chose one that is free for IPv4 alone.
    if (parsed.port != 0 || again == kMaxPorts)
      return Unavailable("listening on [::1]:{}: {}", first->port, std::strerror(error));
  }
}

std::string EndpointUrl(const std::string& endpoint) {
  return endpoint.starts_with(kUnix) ? endpoint : "http://" + endpoint + "/v1";
}

bool IsLocalHost(std::string_view host) {
  if (host.empty()) return true;
  const size_t end = host.starts_with('[') ? host.find(']') : host.find(':');
  const size_t size =
      host.starts_with('[') && end != host.npos ? end + 1 : std::min(end, host.size());
  const std::string_view port = host.substr(size);
  if (!port.empty() &&
      (port.front() != ':' || !std::ranges::all_of(port.substr(1), absl::ascii_isdigit)))
    return false;
  const std::string name = absl::AsciiStrToLower(ToAbsl(host.substr(0, size)));
  return name == "localhost" || name == "[::1]" || IsIpv4Loopback(name);
}

bool IsLocalOrigin(std::string_view origin) {
  if (origin.empty()) return true;
  for (const std::string_view scheme : {"http://", "https://"})
    if (origin.starts_with(scheme) && origin.size() > scheme.size())
      return IsLocalHost(origin.substr(scheme.size()));
  return false;  // "null" too: a page in a frame without rights, or a file
}

}  // namespace quantfleet::agent
