// A port of this machine that is nobody else's: without a server it refuses connections, and a
// server of the test may be started on it again and again, whatever tests run beside it.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>

namespace quantfleet::testing {

class HeldPort {
 public:
  HeldPort() : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
    // Bound and never listening. With this a server that sets it too may bind it meanwhile; whoever
    // asks for any port gets another one.
    const int on = 1;
    ::setsockopt(fd_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    at_.sin_family = AF_INET;
    at_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::bind(fd_, reinterpret_cast<const sockaddr*>(&at_), sizeof at_), 0);
    socklen_t size = sizeof at_;
    EXPECT_EQ(::getsockname(fd_, reinterpret_cast<sockaddr*>(&at_), &size), 0);
  }
  ~HeldPort() { ::close(fd_); }
  HeldPort(const HeldPort&) = delete;
  HeldPort& operator=(const HeldPort&) = delete;

  std::string endpoint() const { return "127.0.0.1:" + std::to_string(ntohs(at_.sin_port)); }

 private:
  const int fd_;
  sockaddr_in at_{};
};

}  // namespace quantfleet::testing
