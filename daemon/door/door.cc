#include "daemon/door/door.h"

#include <fcntl.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <deque>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <unordered_set>

#include "common/base/fd.h"
#include "daemon/door/peer.h"

namespace quantfleet::daemon {
namespace {

using http::Crowd;
using Instant = Crowd::Instant;
using Kind = Crowd::Entry::Kind;

constexpr auto kLookEvery = std::chrono::milliseconds(20);  // at strangers
constexpr auto kPause = std::chrono::milliseconds(100);     // without a free descriptor
constexpr auto kSayEvery = std::chrono::minutes(1);
constexpr int kAtOnce = 64;  // connections that are accepted before anything else is looked at
constexpr uint64_t kWake = ~uint64_t{0};
constexpr uint64_t kListener = uint64_t{1} << 63;  // with the listener's index; else a guest's id

Instant Now() { return std::chrono::steady_clock::now(); }

// What the kernel counted; of a connection that has ended, nothing.
Strangers::Sign SignOf(int fd) {
  tcp_info info{};
  socklen_t size = sizeof info;
  if (::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0 ||
      size < offsetof(tcp_info, tcpi_bytes_received) + sizeof info.tcpi_bytes_received)
    return {};
  return {info.tcpi_bytes_received, Duration(info.tcpi_last_data_recv)};
}

bool NoneFree(int error) {
  return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

}  // namespace

struct Door::Impl {
  // Somebody who was let in.
  struct Guest {
    Fd fd;  // the door's own
    std::string peer;
  };
  // Somebody who waits outside.
  struct Held {
    uint64_t id;
    Fd fd;
    std::string peer, address;
    size_t listener;
    Instant since;
  };

  explicit Impl(Options options_in)
      : options(std::move(options_in)), crowd(options.crowd), strangers(options.strangers) {}

  absl::Status Prepare();
  absl::Status Mind(int fd, uint64_t what, uint32_t events) const;
  void Run();
  int WaitFor() const;
  void Accept(size_t listener);
  void Pause(int error);
  void Resume();
  void Arrived(Held newcomer);
  bool Admit(Held& newcomer, Instant now);
  void AdmitHeld(Instant now);
  void HandOver();
  void LookAtStrangers(Instant now);
  void Cut(uint64_t id);
  void Forget(uint64_t id);

  const Options options;
  std::vector<Listener> listeners;
  Fd poll, wake;
  std::thread thread;

  mutable std::mutex mutex;  // guards what follows
  Crowd crowd;
  Strangers strangers;
  std::unordered_map<uint64_t, Guest> guests;
  std::unordered_set<uint64_t> unknown;  // of guests
  std::unordered_multimap<std::string, uint64_t> by_peer;
  std::deque<Held> held;
  uint64_t next_id = 0, cut = 0;
  bool closing = false;
  // The thread's alone.
  std::vector<std::pair<size_t, Fd>> admitted;  // by listener, not handed over yet
  std::optional<Instant> paused_until, said_at;
};

absl::Status Door::Impl::Mind(int fd, uint64_t what, uint32_t events) const {
  epoll_event event{};
  event.events = events;
  event.data.u64 = what;
  if (::epoll_ctl(poll.get(), EPOLL_CTL_ADD, fd, &event) == 0) return absl::OkStatus();
  return Unavailable("watching a connection: {}", std::strerror(errno));
}

absl::Status Door::Impl::Prepare() {
  poll.Reset(::epoll_create1(EPOLL_CLOEXEC));
  wake.Reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (poll.get() < 0 || wake.get() < 0)
    return Unavailable("preparing to accept connections: {}", std::strerror(errno));
  QF_RETURN_IF_ERROR(Mind(wake.get(), kWake, EPOLLIN));
  for (size_t i = 0; i < listeners.size(); ++i) {
    const int fd = listeners[i].socket.fd;
    if (::fcntl(fd, F_SETFL, O_NONBLOCK) != 0)
      return Unavailable("preparing to accept connections: {}", std::strerror(errno));
    QF_RETURN_IF_ERROR(Mind(fd, kListener | i, EPOLLIN));
  }
  return absl::OkStatus();
}

// In milliseconds; -1: for ever.
int Door::Impl::WaitFor() const {
  std::lock_guard lock(mutex);
  if (crowd.counts().strangers > 0 || !held.empty()) return static_cast<int>(kLookEvery.count());
  return paused_until || strangers.addresses() > 0 ? static_cast<int>(kPause.count()) : -1;
}

void Door::Impl::Run() {
  std::array<epoll_event, 256> events;
  Instant looked = Now();
  while (true) {
    const int count =
        ::epoll_wait(poll.get(), events.data(), static_cast<int>(events.size()), WaitFor());
    if (paused_until && Now() >= *paused_until) Resume();
    for (int i = 0; i < count; ++i) {
      const uint64_t what = events[static_cast<size_t>(i)].data.u64;
      if (what == kWake) continue;
      if (what & kListener) {
        Accept(what & ~kListener);
      } else {
        std::lock_guard lock(mutex);
        Forget(what);  // either side has ended it
      }
    }
    {
      const Instant now = Now();
      std::lock_guard lock(mutex);
      if (closing) return;
      if (now - looked >= kLookEvery) {
        LookAtStrangers(now);
        looked = now;
      }
      AdmitHeld(now);
    }
    HandOver();
  }
}

void Door::Impl::Accept(size_t listener) {
  for (int i = 0; i < kAtOnce; ++i) {
    sockaddr_storage from{};
    socklen_t size = sizeof from;
    auto* address = reinterpret_cast<sockaddr*>(&from);
    Fd fd(::accept4(listeners[listener].socket.fd, address, &size, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (fd.get() < 0) {
      if (NoneFree(errno)) Pause(errno);
      // Of a connection that ended before it was accepted, the next one knows nothing.
      if (errno == ECONNABORTED || errno == EINTR) continue;
      return;
    }
    Arrived({0, std::move(fd), PeerName(address), http::ClientNetwork(address), listener, Now()});
  }
}

// The ones that wait to be accepted would wake the thread at once, again and again.
void Door::Impl::Pause(int error) {
  const Instant now = Now();
  paused_until = now + kPause;
  for (const Listener& listener : listeners)
    ::epoll_ctl(poll.get(), EPOLL_CTL_DEL, listener.socket.fd, nullptr);
  if (said_at && now - *said_at < kSayEvery) return;
  said_at = now;
  options.log(fmt::format("connections wait to be accepted: {}", std::strerror(error)));
}

void Door::Impl::Resume() {
  paused_until.reset();
  for (size_t i = 0; i < listeners.size(); ++i)
    if (!Mind(listeners[i].socket.fd, kListener | i, EPOLLIN).ok()) paused_until = Now() + kPause;
}

void Door::Impl::Arrived(Held newcomer) {
  const int on = 1;
  ::setsockopt(newcomer.fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  std::lock_guard lock(mutex);
  newcomer.id = next_id++;
  const Instant now = newcomer.since;
  if (!strangers.MayCome(newcomer.address, now)) return crowd.CountRefused();
  if (held.size() < options.most_held) return held.push_back(std::move(newcomer));
  if (!Admit(newcomer, now)) crowd.CountRefused();
}

// False: later, perhaps.
bool Door::Impl::Admit(Held& newcomer, Instant now) {
  const Crowd::Entry entry = crowd.Enter(newcomer.id, newcomer.address, now);
  if (entry.gives_way) Cut(*entry.gives_way);
  if (entry.kind == Kind::kLater) return false;
  if (entry.kind != Kind::kServed) return true;  // refused; closed with its descriptor
  Guest guest{Fd(::fcntl(newcomer.fd.get(), F_DUPFD_CLOEXEC, 0)), newcomer.peer};
  if (guest.fd.get() < 0 || !Mind(guest.fd.get(), newcomer.id, EPOLLRDHUP).ok()) {
    crowd.Leave(newcomer.id);
    crowd.CountRefused();
    return true;
  }
  crowd.BeginWaiting(newcomer.id, now);
  strangers.Come(newcomer.id, newcomer.address, now);
  by_peer.emplace(newcomer.peer, newcomer.id);
  unknown.insert(newcomer.id);
  guests.emplace(newcomer.id, std::move(guest));
  admitted.emplace_back(newcomer.listener, std::move(newcomer.fd));
  return true;
}

void Door::Impl::AdmitHeld(Instant now) {
  std::deque<Held> later;
  for (Held& newcomer : held) {
    if (now - newcomer.since > options.strangers.to_speak)
      crowd.CountRefused();
    else if (!Admit(newcomer, now))
      later.push_back(std::move(newcomer));
  }
  held = std::move(later);
}

// Without the lock: whoever takes them may know at once who they are.
void Door::Impl::HandOver() {
  for (auto& [listener, fd] : admitted) listeners[listener].hand_over(fd.Release());
  admitted.clear();
}

void Door::Impl::LookAtStrangers(Instant now) {
  std::vector<uint64_t> out;
  for (const uint64_t id : unknown)
    if (strangers.Judge(id, SignOf(guests.at(id).fd.get()), now) != Strangers::Verdict::kStays)
      out.push_back(id);
  for (const uint64_t id : out) {
    Cut(id);
    ++cut;
  }
  strangers.ForgetRefilled(now);
}

// gRPC sees the end of it as if the client had gone.
void Door::Impl::Cut(uint64_t id) {
  if (const auto found = guests.find(id); found != guests.end())
    ::shutdown(found->second.fd.get(), SHUT_RDWR);
  Forget(id);
}

void Door::Impl::Forget(uint64_t id) {
  const auto found = guests.find(id);
  if (found == guests.end()) return;
  const auto [first, last] = by_peer.equal_range(found->second.peer);
  for (auto at = first; at != last; ++at)
    if (at->second == id) {
      by_peer.erase(at);
      break;
    }
  // gRPC's descriptor keeps it in the set otherwise.
  ::epoll_ctl(poll.get(), EPOLL_CTL_DEL, found->second.fd.get(), nullptr);
  guests.erase(found);
  unknown.erase(id);
  crowd.Leave(id);
  strangers.Leave(id);
}

absl::Status Door::Open(std::vector<Listener> listeners) {
  Impl& impl = *impl_;
  impl.listeners = std::move(listeners);
  QF_RETURN_IF_ERROR(impl.Prepare());
  impl.thread = std::thread([&impl] { impl.Run(); });
  return absl::OkStatus();
}

void Door::Met(std::string_view peer, bool known) {
  const std::string name = PeerName(peer);
  std::lock_guard lock(impl_->mutex);
  const auto [first, last] = impl_->by_peer.equal_range(name);
  for (auto at = first; at != last; ++at) {
    if (!impl_->unknown.contains(at->second)) continue;
    impl_->strangers.Speak(at->second);
    if (!known) continue;
    impl_->unknown.erase(at->second);
    impl_->crowd.Recognize(at->second);
    impl_->crowd.EndWaiting(at->second);
    impl_->strangers.Recognize(at->second, Now());
  }
}

void Door::Close() {
  {
    std::lock_guard lock(impl_->mutex);
    impl_->closing = true;
  }
  if (impl_->thread.joinable()) {
    const uint64_t one = 1;
    // An eventfd takes it; where it did not, the next event would wake the thread.
    if (::write(impl_->wake.get(), &one, sizeof one) != sizeof one) std::terminate();
    impl_->thread.join();
  }
  for (Listener& listener : impl_->listeners)
    if (const int fd = std::exchange(listener.socket.fd, -1); fd >= 0) ::close(fd);
  std::lock_guard lock(impl_->mutex);
  impl_->held.clear();
  impl_->guests.clear();
  impl_->unknown.clear();
  impl_->by_peer.clear();
}

Door::Counts Door::counts() const {
  std::lock_guard lock(impl_->mutex);
  return {impl_->crowd.counts(), impl_->held.size(), impl_->cut};
}

Door::Door(Options options) : impl_(std::make_unique<Impl>(std::move(options))) {}
Door::~Door() { Close(); }

}  // namespace quantfleet::daemon
