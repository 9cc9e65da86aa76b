#include "agent/serve/listen_socket.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace quantfleet::agent {
namespace {

class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) {}
  ~Fd() {
    if (fd_ >= 0) ::close(fd_);
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  int get() const { return fd_; }
  int Release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

union Address {
  sockaddr any;
  sockaddr_in four;
  sockaddr_in6 six;
  sockaddr_un local;
};

// Whoever answers there has it; one without an answer was left behind.
absl::Status RemoveStale(const std::string& path, const Address& at) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) return absl::OkStatus();
  if (!S_ISSOCK(info.st_mode)) return AlreadyExists("{} is there and is no socket", path);
  const Fd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (::connect(probe.get(), &at.any, sizeof at.local) == 0)
    return Unavailable("another process listens on unix:{}", path);
  ::unlink(path.c_str());
  return absl::OkStatus();
}

socklen_t Fill(const ListenAddress& from, Address& at) {
  std::memset(&at, 0, sizeof at);
  if (!from.path.empty()) {
    at.local.sun_family = AF_UNIX;
    from.path.copy(at.local.sun_path, sizeof at.local.sun_path - 1);
    return sizeof at.local;
  }
  if (::inet_pton(AF_INET6, from.host.c_str(), &at.six.sin6_addr) == 1) {
    at.six.sin6_family = AF_INET6;
    at.six.sin6_port = htons(from.port);
    return sizeof at.six;
  }
  at.four.sin_family = AF_INET;
  at.four.sin_port = htons(from.port);
  ::inet_pton(AF_INET, from.host.c_str(), &at.four.sin_addr);
  return sizeof at.four;
}

}  // namespace

absl::StatusOr<ListenSocket> OpenListenSocket(const std::string& address) {
  QF_ASSIGN_OR_RETURN(const ListenAddress parsed, ParseListenAddress(address));
  const bool local = !parsed.path.empty();
  Address at;
  socklen_t size = Fill(parsed, at);
  if (local) QF_RETURN_IF_ERROR(RemoveStale(parsed.path, at));
  Fd fd(::socket(at.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int on = 1;
  if (fd.get() < 0 || (!local && ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0) ||
      ::bind(fd.get(), &at.any, size) != 0 || (local && ::chmod(parsed.path.c_str(), 0600) != 0) ||
      ::listen(fd.get(), SOMAXCONN) != 0 || (!local && ::getsockname(fd.get(), &at.any, &size) != 0))
    return Unavailable("listening on {}: {}", address, std::strerror(errno));
  ListenSocket socket{fd.Release(), at.any.sa_family, address};
  if (socket.family == AF_INET) socket.endpoint = fmt::format("{}:{}", parsed.host, ntohs(at.four.sin_port));
  if (socket.family == AF_INET6)
    socket.endpoint = fmt::format("[{}]:{}", parsed.host, ntohs(at.six.sin6_port));
  return socket;
}

}  // namespace quantfleet::agent
