// The door over plain sockets of this machine, whose addresses 127.0.0.2 and so on are others'.
#include "daemon/door/door.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <condition_variable>
#include <deque>
#include <mutex>

#include "daemon/door/peer.h"
#include "tests/support/status_matchers.h"

namespace quantfleet::daemon {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kLong{10'000};

class Client {
 public:
  explicit Client(uint16_t port, const std::string& from = "127.0.0.1")
      : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const http::SocketAddress own = http::ToSocketAddress({from, 0, {}});
    const http::SocketAddress to = http::ToSocketAddress({"127.0.0.1", port, {}});
    EXPECT_EQ(::bind(fd_, reinterpret_cast<const sockaddr*>(&own.at), own.size), 0);
    EXPECT_EQ(::connect(fd_, reinterpret_cast<const sockaddr*>(&to.at), to.size), 0);
  }
  ~Client() { ::close(fd_); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  std::string name() const {
    http::SocketAddress at{{}, sizeof at.at};
    ::getsockname(fd_, reinterpret_cast<sockaddr*>(&at.at), &at.size);
    return PeerName(reinterpret_cast<const sockaddr*>(&at.at));
  }
  void Send(size_t bytes) {
    const std::string all(bytes, 'x');
    EXPECT_EQ(::send(fd_, all.data(), all.size(), MSG_NOSIGNAL), static_cast<ssize_t>(bytes));
  }
  // Whether the other side ends it within that time.
  bool Ended(milliseconds within = kLong) const {
    pollfd at{fd_, POLLIN, 0};
    char byte;
    return ::poll(&at, 1, static_cast<int>(within.count())) == 1 && ::recv(fd_, &byte, 1, 0) <= 0;
  }

 private:
  int fd_;
};

class DoorTest : public ::testing::Test {
 protected:
  ~DoorTest() override {
    if (door_) door_->Close();
    for (const int fd : inside_) ::close(fd);
  }
  void Open(Door::Options options) {
    door_ = std::make_unique<Door>(std::move(options));
    const auto socket = http::OpenListenSocket({"127.0.0.1", 0, {}});
    ASSERT_OK(socket);
    port_ = socket->port;
    ASSERT_OK(door_->Open({{*socket, [this](int fd) {
                              std::lock_guard lock(mutex_);
                              inside_.push_back(fd);
                              came_.notify_all();
                            }}}));
  }
  // The descriptor of the count-th who was let in; -1: nobody within that time.
  int Inside(size_t count, milliseconds within = kLong) {
    std::unique_lock lock(mutex_);
    const bool there = came_.wait_for(lock, within, [&] { return inside_.size() >= count; });
    return there ? inside_[count - 1] : -1;
  }

  std::unique_ptr<Door> door_;
  uint16_t port_ = 0;
  std::mutex mutex_;
  std::condition_variable came_;
  std::deque<int> inside_;
};

TEST_F(DoorTest, HandsOverWhoComes) {
  Open({});
  Client client(port_);
  const int fd = Inside(1);
  ASSERT_GE(fd, 0);
  EXPECT_EQ(::send(fd, "hello", 5, 0), 5);
  EXPECT_EQ(door_->counts().crowd.strangers, 1u);
  door_->Met("ipv4:" + client.name(), /*known=*/true);
  EXPECT_EQ(door_->counts().crowd.strangers, 0u);
  EXPECT_EQ(door_->counts().crowd.open, 1u);
}

TEST_F(DoorTest, CutsWhoSaysNothing) {
  Open({.strangers = {.to_speak = milliseconds(50)}});
  Client silent(port_);
  EXPECT_TRUE(silent.Ended());
  EXPECT_EQ(door_->counts().cut, 1u);
}

TEST_F(DoorTest, CutsWhoSendsTooMuchAndNotWhoIsKnown) {
  Open({.strangers = {.connection = {1000, 10}}});
  Client greedy(port_), known(port_);
  ASSERT_GE(Inside(2), 0);
  door_->Met("ipv4:" + known.name(), /*known=*/true);
  known.Send(2000);
  greedy.Send(2000);
  EXPECT_TRUE(greedy.Ended());
  EXPECT_FALSE(known.Ended(milliseconds(0)));
}

TEST_F(DoorTest, AnAddressThatTookTooMuchIsNotLetIn) {
  Open({.strangers = {.connection = {1000, 1}, .address = {1500, 1}}});
  for (int i = 0; i < 2; ++i) {
    Client greedy(port_, "127.0.0.2");
    greedy.Send(1001);
    EXPECT_TRUE(greedy.Ended()) << i;
  }
  Client again(port_, "127.0.0.2");
  EXPECT_TRUE(again.Ended());
  EXPECT_EQ(door_->counts().crowd.refused, 1u);
  Client other(port_);
  EXPECT_GE(Inside(3), 0);
}

TEST_F(DoorTest, WhoFindsNoRoomWaitsAndIsLetInLater) {
  Open({.crowd = {.most_strangers_per_address = 1, .patience = std::chrono::hours(1)}});
  Client first(port_), second(port_);
  ASSERT_GE(Inside(1), 0);
  EXPECT_EQ(Inside(2, milliseconds(0)), -1);
  Client elsewhere(port_, "127.0.0.2");
  ASSERT_GE(Inside(2), 0) << "another address has its own share";
  door_->Met("ipv4:" + first.name(), /*known=*/true);
  EXPECT_GE(Inside(3), 0);
}

TEST_F(DoorTest, SilentOnesGiveWayAndOtherAddressesGetIn) {
  Open(
      {.crowd = {.most_strangers = 20, .most_strangers_per_address = 10, .patience = Duration(0)}});
  std::deque<Client> silent;
  for (int i = 0; i < 60; ++i) silent.emplace_back(port_, i % 2 ? "127.0.0.2" : "127.0.0.3");
  Client other(port_);
  ASSERT_GE(Inside(61), 0);
  EXPECT_FALSE(other.Ended(milliseconds(0)));
  EXPECT_LE(door_->counts().crowd.strangers, 20u);
}

TEST_F(DoorTest, SeesTheEndOfAConnection) {
  Open({});
  auto gone = std::make_unique<Client>(port_);
  Client left(port_);
  const int fd = Inside(2);
  ASSERT_GE(fd, 0);
  gone.reset();
  ::shutdown(fd, SHUT_RDWR);  // as gRPC does before it closes
  Client last(port_);
  ASSERT_GE(Inside(3), 0);
  // Both ends were there before the third came; the door looks at what happened in no order.
  for (int i = 0; i < 500 && door_->counts().crowd.open > 1; ++i) ::poll(nullptr, 0, 10);
  EXPECT_EQ(door_->counts().crowd.open, 1u);
}

// As CVE-2023-4785: nobody can be accepted for a while, and then everybody again.
TEST_F(DoorTest, GoesOnAfterTheDescriptorsWereUsedUp) {
  Open({});
  rlimit before{};
  ::getrlimit(RLIMIT_NOFILE, &before);
  rlimit few = before;
  few.rlim_cur = 64;
  std::deque<Client> waiting;
  for (int i = 0; i < 10; ++i) waiting.emplace_back(port_);
  ASSERT_GE(Inside(10), 0);
  ::setrlimit(RLIMIT_NOFILE, &few);
  std::vector<int> used;
  for (int fd; (fd = ::dup(0)) >= 0;) used.push_back(fd);
  ::close(used.back());  // for the client, which leaves none for the door
  used.pop_back();
  Client late(port_);
  EXPECT_EQ(Inside(11, milliseconds(300)), -1);
  ::setrlimit(RLIMIT_NOFILE, &before);
  for (const int fd : used) ::close(fd);
  EXPECT_GE(Inside(11), 0);
}

TEST(Peer, HasOneNameWhoeverWritesIt) {
  const auto name = [](const std::string& host) {
    const http::SocketAddress at = http::ToSocketAddress({host, 4711, {}});
    return PeerName(reinterpret_cast<const sockaddr*>(&at.at));
  };
  EXPECT_EQ(name("127.0.0.1"), PeerName("ipv4:127.0.0.1:4711"));
  EXPECT_EQ(name("::ffff:127.0.0.1"), PeerName("ipv4:127.0.0.1:4711"));
  EXPECT_EQ(name("::1"), PeerName("ipv6:[::1]:4711"));
  EXPECT_EQ(name("fe80::1"), PeerName("ipv6:%5Bfe80::1%25eth0%5D:4711"));
  EXPECT_EQ(PeerName("unix:"), "");
}

TEST(Peer, ItsNetworkIsWhatItCannotChange) {
  const auto network = [](const std::string& host) {
    const http::SocketAddress at = http::ToSocketAddress({host, 4711, {}});
    return http::ClientNetwork(reinterpret_cast<const sockaddr*>(&at.at));
  };
  EXPECT_EQ(network("192.0.2.1"), "192.0.2.1");
  EXPECT_EQ(network("::ffff:192.0.2.1"), "192.0.2.1");
  EXPECT_EQ(network("2001:db8::1"), network("2001:db8::ffff:1"));
  EXPECT_NE(network("2001:db8::1"), network("2001:db8:0:1::1"));
}

}  // namespace
}  // namespace quantfleet::daemon
