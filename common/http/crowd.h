// Who is connected to a server and who may still connect: the one place that decides how many are
// too many. It only counts; it knows neither sockets nor a clock. Not thread-safe.
//
// A connection is a stranger's until its client has shown who it is. Strangers may be limited, all
// together and by address, so that neither many of them nor one of many connections keeps out those
// who are known.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>

namespace quantfleet::http {

class Crowd {
 public:
  using Instant = std::chrono::steady_clock::time_point;
  static constexpr size_t kAny = std::numeric_limits<size_t>::max();

  struct Limits {
    size_t most = 1024;  // connections that are served
    // This many more at a time are turned away: answered that there are too many. Any others are
    // closed without an answer.
    size_t most_turned_away = 0;
    // Whether the connection that has waited longest for a request gives way to a new one;
    // strangers before others.
    bool gives_way = false;
    // Of those served. Within the share of an address a stranger that has waited for `patience`
    // gives way to a new one. Where there are too many in all, an address with more of them makes
    // room for one with fewer at once.
    size_t most_strangers = kAny, most_strangers_per_address = kAny;
    std::chrono::milliseconds patience{0};
  };
  struct Counts {
    size_t open = 0, strangers = 0;      // without those that gave way
    uint64_t gave_way = 0, refused = 0;  // in all; refused: turned away, or closed
  };
  struct Entry {
    // kLater: there is no room for another stranger now; the caller closes it or asks again.
    enum class Kind { kServed, kTurnedAway, kClosed, kLater } kind = Kind::kServed;
    std::optional<uint64_t> gives_way;  // the connection that is to be closed for this one
  };

  explicit Crowd(const Limits& limits) : limits_(limits) {}

  // A connection arrives; `id` is its own, `address` what the share is counted by. It has to Leave
  // if the answer is kServed or kTurnedAway.
  Entry Enter(uint64_t id, const std::string& address = {}, Instant now = {});
  void BeginWaiting(uint64_t id, Instant now = {});  // for a request
  void EndWaiting(uint64_t id);
  void Recognize(uint64_t id);  // no stranger any more
  void Leave(uint64_t id);
  // Whoever came as kLater and is not served in the end.
  void CountRefused() { ++counts_.refused; }
  const Counts& counts() const { return counts_; }

 private:
  struct Member {
    std::string address;
    bool stranger = true;
    std::optional<uint64_t> turn;  // in waiting_
  };
  struct Waiting {
    uint64_t id;
    Instant since;
  };

  bool StrangersMayCome(const std::string& address) const;
  size_t StrangersOf(const std::string& address) const;
  std::string FullestAddress() const;
  // Of strangers alone, and of one address alone where one is given.
  std::optional<uint64_t> LongestWaiting(bool strangers, const std::string* address,
                                         Instant since_before) const;
  void GiveWay(uint64_t id, Entry& entry);

  const Limits limits_;
  Counts counts_;
  std::map<uint64_t, Member> open_;
  std::map<uint64_t, Waiting> waiting_;  // by turn: the longest first
  std::map<std::string, size_t> strangers_by_address_;
  uint64_t next_turn_ = 0;
};

}  // namespace quantfleet::http
