// Who is connected to a server and who may still connect: the one place that decides how many are
// too many. It only counts; it knows no sockets. Not thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>

namespace quantfleet::http {

class Crowd {
 public:
  struct Limits {
    size_t most = 1024;  // connections that are served
    // This many more at a time are told that there are too many; any others are closed without an
    // answer.
    size_t most_told = 0;
    // Whether the connection that has waited longest for a request gives way to a new one.
    bool gives_way = false;
  };
  struct Counts {
    size_t open = 0;                     // without those that gave way
    uint64_t gave_way = 0, refused = 0;  // in all; refused: told so, or closed
  };
  struct Entry {
    enum class Kind { kServed, kTold, kClosed } kind = Kind::kServed;
    std::optional<uint64_t> gives_way;  // the connection that is to be closed for this one
  };

  explicit Crowd(const Limits& limits) : limits_(limits) {}

  // A connection arrives; `id` is its own. It has to Leave, unless the answer is kClosed.
  Entry Enter(uint64_t id);
  void BeginWaiting(uint64_t id);  // for a request
  void EndWaiting(uint64_t id);
  void Leave(uint64_t id);
  const Counts& counts() const { return counts_; }

 private:
  const Limits limits_;
  Counts counts_;
  std::set<uint64_t> open_;
  std::map<uint64_t, uint64_t> waiting_;  // turn of arrival to id: the longest wait first
  std::map<uint64_t, uint64_t> since_;    // id to turn
  uint64_t next_ = 0;
};

}  // namespace quantfleet::http
