#include "common/http/listen_socket.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "common/base/fd.h"

namespace quantfleet::http {
namespace {

sockaddr* Any(SocketAddress& address) { return reinterpret_cast<sockaddr*>(&address.at); }

// Whoever answers there has it; one without an answer was left behind.
absl::Status RemoveStale(const std::string& path, SocketAddress& at) {
  struct stat info{};
  if (::lstat(path.c_str(), &info) != 0) return absl::OkStatus();
  if (!S_ISSOCK(info.st_mode)) return AlreadyExists("{} exists and is not a socket", path);
  const Fd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (::connect(probe.get(), Any(at), at.size) == 0)
    return Unavailable("another process is listening on unix:{}", path);
  ::unlink(path.c_str());
  return absl::OkStatus();
}

template <class Address>
SocketAddress Stored(const Address& address) {
  SocketAddress stored{{}, sizeof address};
  std::memcpy(&stored.at, &address, sizeof address);
  return stored;
}

std::string ToText(const ListenAddress& address, uint16_t port) {
  if (!address.path.empty()) return "unix:" + address.path;
  const bool six = address.host.find(':') != std::string::npos;
  return six ? fmt::format("[{}]:{}", address.host, port)
             : fmt::format("{}:{}", address.host, port);
}

// With the interface's name behind '%', where there is one.
bool ToSix(const std::string& host, sockaddr_in6& six) {
  const size_t percent = host.find('%');
  if (::inet_pton(AF_INET6, host.substr(0, percent).c_str(), &six.sin6_addr) != 1) return false;
  if (percent == std::string::npos) return true;
  six.sin6_scope_id = ::if_nametoindex(host.c_str() + percent + 1);
  return six.sin6_scope_id != 0;
}

}  // namespace

bool IsNumericHost(const std::string& host) {
  in_addr four{};
  sockaddr_in6 six{};
  return ::inet_pton(AF_INET, host.c_str(), &four) == 1 || ToSix(host, six);
}

SocketAddress ToSocketAddress(const ListenAddress& address) {
  if (!address.path.empty()) {
    sockaddr_un local{};
    local.sun_family = AF_UNIX;
    address.path.copy(local.sun_path, sizeof local.sun_path - 1);
    return Stored(local);
  }
  sockaddr_in6 six{};
  six.sin6_family = AF_INET6;
  six.sin6_port = htons(address.port);
  if (ToSix(address.host, six)) return Stored(six);
  sockaddr_in four{};
  four.sin_family = AF_INET;
  four.sin_port = htons(address.port);
  ::inet_pton(AF_INET, address.host.c_str(), &four.sin_addr);
  return Stored(four);
}

std::string ClientNetwork(const sockaddr* address) {
  char text[INET6_ADDRSTRLEN] = {};
  if (address->sa_family == AF_INET) {
    in_addr four = reinterpret_cast<const sockaddr_in*>(address)->sin_addr;
    return ::inet_ntop(AF_INET, &four, text, sizeof text);
  }
  if (address->sa_family != AF_INET6) return "";
  in6_addr six = reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr;
  if (IN6_IS_ADDR_V4MAPPED(&six)) return ::inet_ntop(AF_INET, six.s6_addr + 12, text, sizeof text);
  std::memset(six.s6_addr + 8, 0, 8);
  return std::string(::inet_ntop(AF_INET6, &six, text, sizeof text)) + "/64";
}

absl::StatusOr<ListenSocket> OpenListenSocket(const ListenAddress& address, int* error_number) {
  if (error_number) *error_number = 0;
  const bool local = !address.path.empty();
  SocketAddress at = ToSocketAddress(address);
  if (local) QF_RETURN_IF_ERROR(RemoveStale(address.path, at));
  Fd fd(::socket(at.at.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int on = 1;
  if (fd.get() < 0 ||
      (!local && ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0) ||
      ::bind(fd.get(), Any(at), at.size) != 0 ||
      (local && ::chmod(address.path.c_str(), 0600) != 0) || ::listen(fd.get(), SOMAXCONN) != 0 ||
      (!local && ::getsockname(fd.get(), Any(at), &at.size) != 0)) {
    const int error = errno;
    if (error_number) *error_number = error;
    return Unavailable("listening on {}: {}", ToText(address, address.port), std::strerror(error));
  }
  ListenSocket socket{fd.Release(), at.at.ss_family, 0, {}};
  // The port stands at the same place in both.
  if (!local) socket.port = ntohs(reinterpret_cast<const sockaddr_in*>(&at.at)->sin_port);
  socket.endpoint = ToText(address, socket.port);
  return socket;
}

}  // namespace quantfleet::http
