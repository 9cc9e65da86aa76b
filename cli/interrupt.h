// Ctrl-C and SIGTERM as a stop token: work ends at the next safe place and cleans up after itself.
#pragma once

#include <stop_token>
#include <thread>

namespace quantfleet::cli {

// While it lives, SIGINT and SIGTERM request a stop instead of ending the process. Create it before
// other threads: they inherit the blocked signals. Only one at a time.
class Interrupt {
 public:
  Interrupt();
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;
  std::stop_token token() const { return stop_.get_token(); }

 private:
  std::stop_source stop_;
  std::jthread watcher_;
};

}  // namespace quantfleet::cli
