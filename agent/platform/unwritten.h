// What this agent could not write. A disk that is full or read-only does not end what runs: the
// agent goes on with what it knows, and says so in its log, its report to the daemon and its
// status. Thread-safe.
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <string_view>

#include "common/base/status.h"

namespace quantfleet::agent {

class Unwritten {
 public:
  // `log` hears of each thing once: when it cannot be written, and when it is written again.
  explicit Unwritten(std::function<void(const std::string&)> log) : log_(std::move(log)) {}

  // `what` was written just now, or why not. Returns `written`.
  absl::Status Note(std::string_view what, absl::Status written);
  // Everything that was not written at the last try, and why; "" when there is nothing. Cut
  // after kMaxText bytes, and says so.
  std::string Text() const;

  static constexpr size_t kMaxText = 1000;

 private:
  const std::function<void(const std::string&)> log_;
  mutable std::mutex mutex_;
  std::map<std::string, std::string, std::less<>> why_;  // by what
};

}  // namespace quantfleet::agent
