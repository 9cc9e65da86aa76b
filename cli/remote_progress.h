// What is told on stderr of work that the daemon does: on a terminal a line that is written over
// and over, elsewhere a line for each event. (progress.h has the one for bytes that we count
// ourselves; here the daemon counts.) Not thread-safe.
#pragma once

#include <string>
#include <string_view>

#include "common/base/clock.h"

namespace quantfleet::cli {

class StatusLine {
 public:
  // `on_interrupt`: what Ctrl-C says when it ends this command and not the work. Only one at a time
  // has such a text.
  explicit StatusLine(const Clock& clock, std::string_view on_interrupt = {});
  ~StatusLine();  // clears the line
  StatusLine(const StatusLine&) = delete;
  StatusLine& operator=(const StatusLine&) = delete;

  bool shown() const { return terminal_; }
  // Whether a new text would be shown now: at most ten per second.
  bool Due() const;
  void Show(std::string_view text);
  // Something that has happened, which is told once; on a terminal it is in the line anyway.
  void Event(std::string_view text);
  void Clear();

 private:
  const Clock& clock_;
  const bool terminal_;
  const bool interruptible_;
  std::string told_;  // the last event
  Duration next_{};
  bool dirty_ = false;
};

// A line for people that stays, on stderr and only on a terminal.
void Note(std::string_view text);

}  // namespace quantfleet::cli
