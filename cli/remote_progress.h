// A line of any text on stderr that is written over and over, and only on a terminal. (progress.h
// has the one for bytes that we count ourselves; here the daemon counts.) Not thread-safe.
#pragma once

#include <string>
#include <string_view>

#include "common/base/clock.h"

namespace quantfleet::cli {

class StatusLine {
 public:
  explicit StatusLine(const Clock& clock);
  ~StatusLine();  // clears the line
  StatusLine(const StatusLine&) = delete;
  StatusLine& operator=(const StatusLine&) = delete;

  bool shown() const { return terminal_; }
  // Whether a new text would be shown now: at most ten per second.
  bool Due() const;
  void Show(std::string_view text);
  void Clear();

 private:
  const Clock& clock_;
  const bool terminal_;
  Duration next_{};
  bool dirty_ = false;
};

// A line for people that stays, on stderr and only on a terminal.
void Note(std::string_view text);

}  // namespace quantfleet::cli
