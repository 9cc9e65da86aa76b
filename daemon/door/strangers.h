// What a connection may take before its client has shown who it is: time, and bytes, for itself and
// together with the others of its address. Numbers alone, no sockets and no clock. Not thread-safe.
//
// gRPC reads, decrypts and unpacks whatever comes; what it does not read costs nothing. So bytes
// are the measure of all that a stranger can make it do: headers, frames, messages and memory.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <map>
#include <string>

#include "common/base/clock.h"

namespace quantfleet::daemon {

class Strangers {
 public:
  using Instant = std::chrono::steady_clock::time_point;

  struct Allowance {
    int64_t at_once, per_second;  // bytes
  };
  struct Limits {
    Duration to_speak = std::chrono::seconds(10);  // until its first call
    Duration idle = std::chrono::seconds(30);      // without a byte from it
    Duration age = std::chrono::minutes(5);
    Allowance connection{64 << 10, 4 << 10};
    Allowance address{640 << 10, 64 << 10};
  };
  enum class Verdict { kStays, kSilent, kIdle, kOld, kGreedy };
  struct Sign {
    uint64_t received = 0;  // bytes since the connection is there
    Duration since{0};      // the last of them came
  };

  explicit Strangers(const Limits& limits) : limits_(limits) {}

  // Whether the address has anything left to spend.
  bool MayCome(const std::string& address, Instant now);
  void Come(uint64_t id, const std::string& address, Instant now);
  void Speak(uint64_t id);  // it has made a call
  // Anything but kStays: it is to be cut, and to Leave.
  Verdict Judge(uint64_t id, const Sign& sign, Instant now);
  // No stranger any more. What it took is its address's again.
  void Recognize(uint64_t id, Instant now);
  void Leave(uint64_t id);
  size_t addresses() const { return addresses_.size(); }  // that have not all of their allowance
  void ForgetRefilled(Instant now);

 private:
  static constexpr std::chrono::seconds kMostDebt{5};

  class Bucket {
   public:
    Bucket(const Allowance& allowance, Instant now)
        : allowance_(allowance), level_(allowance.at_once), at_(now) {}
    int64_t Level(Instant now);
    // What came before anybody could look is no debt without end: one that took far too much waits
    // for a few seconds.
    void Take(int64_t bytes) {
      level_ = std::max(level_ - bytes, -kMostDebt.count() * allowance_.per_second);
    }
    bool Full(Instant now) const { return level_ + Refill(now) >= allowance_.at_once; }

   private:
    int64_t Refill(Instant now) const;

    Allowance allowance_;
    int64_t level_;
    Instant at_;
  };
  struct Stranger {
    std::string address;
    Instant since;
    Bucket bucket;
    int64_t received = 0;
    bool spoke = false;
  };
  Bucket& AddressBucket(const std::string& address, Instant now);

  const Limits limits_;
  std::map<uint64_t, Stranger> strangers_;
  std::map<std::string, Bucket> addresses_;
};

}  // namespace quantfleet::daemon
