// One line of progress on stderr, and only where that is a terminal: stage, share, bytes, rate,
// time left.
#pragma once

#include <deque>
#include <string>
#include <string_view>

#include "common/base/clock.h"

namespace quantfleet::cli {

// "42.0 s", or "12 minutes".
std::string Minutes(double seconds);

// Renders progress; knows no terminal, so that it can be tested. Not thread-safe.
class ProgressText {
 public:
  explicit ProgressText(std::string stage) : stage_(std::move(stage)) {}
  // "quantize  45 %  1.2 GiB of 2.2 GiB  120.0 MiB/s  ETA 0:10"; the rate is that of the last
  // seconds.
  std::string Render(uint64_t done, uint64_t total, Duration now);

 private:
  struct Sample {
    Duration at;
    uint64_t done;
  };
  const std::string stage_;
  std::deque<Sample> samples_;
};

// Draws ProgressText a few times a second. Calls must not overlap.
class ProgressLine {
 public:
  explicit ProgressLine(std::string stage);
  ~ProgressLine();
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;
  void Update(uint64_t done, uint64_t total);

 private:
  const RealClock clock_;
  const bool terminal_;
  ProgressText text_;
  Duration drawn_{-1000000};
  bool visible_ = false;
};

}  // namespace quantfleet::cli
