#include "agent/serve/listen_address.h"

#include <arpa/inet.h>
#include <sys/un.h>

#include <charconv>
#include <cstring>

namespace quantfleet::agent {
namespace {

constexpr std::string_view kUnix = "unix:";

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

absl::StatusOr<http::ListenSocket> OpenListenSocket(const std::string& address) {
  QF_ASSIGN_OR_RETURN(const http::ListenAddress parsed, ParseListenAddress(address));
  int error = 0;
  auto socket = http::OpenListenSocket(parsed, &error);
  if (error != 0) return Unavailable("listening on {}: {}", address, std::strerror(error));
  return socket;
}

std::string EndpointUrl(const std::string& endpoint) {
  return endpoint.starts_with(kUnix) ? endpoint : "http://" + endpoint + "/v1";
}

bool IsLocalHost(std::string_view host) {
  if (host.empty()) return true;
  if (host.starts_with("[")) return host.substr(0, host.find(']') + 1) == "[::1]";
  const std::string name(host.substr(0, host.find(':')));
  return name == "localhost" || IsIpv4Loopback(name);
}

}  // namespace quantfleet::agent
