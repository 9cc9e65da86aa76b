#include "agent/serve/listen_address.h"

#include <gtest/gtest.h>
#include <unistd.h>

namespace quantfleet::agent {
namespace {

TEST(ListenAddress, LoopbackIsTaken) {
  const auto four = ParseListenAddress("127.0.0.1:8080");
  ASSERT_TRUE(four.ok()) << four.status();
  EXPECT_EQ(four->host, "127.0.0.1");
  EXPECT_EQ(four->port, 8080);
  EXPECT_EQ(ParseListenAddress("[::1]:0")->host, "::1");
  EXPECT_EQ(ParseListenAddress("localhost:1")->host, "127.0.0.1");
  EXPECT_TRUE(ParseListenAddress("127.9.9.9:65535").ok());
}

TEST(ListenAddress, UnixSockets) {
  const auto address = ParseListenAddress("unix:/run/models.sock");
  ASSERT_TRUE(address.ok()) << address.status();
  EXPECT_EQ(address->path, "/run/models.sock");
  EXPECT_EQ(EndpointUrl("unix:/run/models.sock"), "unix:/run/models.sock");
  EXPECT_EQ(EndpointUrl("127.0.0.1:8080"), "http://127.0.0.1:8080/v1");
  for (const std::string& bad : {std::string("unix:"), "unix:/" + std::string(108, 'x')})
    EXPECT_EQ(ParseListenAddress(bad).status().code(), absl::StatusCode::kInvalidArgument) << bad;
}

TEST(ListenAddress, AllElseIsRefused) {
  for (const char* bad : {"", ":80", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536",
                          "127.0.0.1:-1", "127.0.0.1:80 ", "0.0.0.0:80", "192.0.2.1:80", "[::]:80",
                          "example.com:80", "127.0.0.1.evil:1"})
    EXPECT_EQ(ParseListenAddress(bad).status().code(), absl::StatusCode::kInvalidArgument) << bad;
}

TEST(ListenAddress, HostHeader) {
  for (const char* local : {"", "localhost", "localhost:80", "LocalHost", "127.0.0.1",
                            "127.0.0.1:4000", "[::1]", "[::1]:80"})
    EXPECT_TRUE(IsLocalHost(local)) << local;
  for (const char* foreign :
       {"evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "[::2]", "192.0.2.1",
        "[::1]evil.com", "[::1]:80.evil.com", "localhost:evil.com", "[::1", "[", ":80"})
    EXPECT_FALSE(IsLocalHost(foreign)) << foreign;
}

TEST(ListenAddress, OriginHeader) {
  for (const char* local : {"", "http://localhost:3000", "https://127.0.0.1", "http://[::1]:80"})
    EXPECT_TRUE(IsLocalOrigin(local)) << local;
  for (const char* foreign : {"null", "http://evil.example", "https://[::1]evil.com", "http://",
                              "file://", "chrome-extension://abc"})
    EXPECT_FALSE(IsLocalOrigin(foreign)) << foreign;
}

TEST(ListenAddress, LocalhostIsBothFamilies) {
  const auto sockets = OpenListenSockets("localhost:0");
  ASSERT_TRUE(sockets.ok()) << sockets.status();
  EXPECT_EQ(sockets->front().family, AF_INET);
  const auto second = http::OpenListenSocket({"::1", sockets->front().port, {}});
  if (sockets->size() == 2) {
    EXPECT_EQ(sockets->back().endpoint, fmt::format("[::1]:{}", sockets->front().port));
    EXPECT_FALSE(second.ok()) << "the port is taken in the other family, too";
  } else {
    EXPECT_FALSE(second.ok()) << "there is IPv6, and it was not used";
  }
  for (const http::ListenSocket& socket : *sockets) ::close(socket.fd);
}

}  // namespace
}  // namespace quantfleet::agent
