#include "cli/remote_progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>

#include "cli/remote_format.h"
#include "common/base/outside_text.h"

namespace quantfleet::cli {
namespace {

size_t TerminalColumns() {
  winsize size{};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return size.ws_col;
}

}  // namespace

StatusLine::StatusLine(const Clock& clock)
    : clock_(clock), terminal_(::isatty(STDERR_FILENO) == 1) {}

StatusLine::~StatusLine() { Clear(); }

bool StatusLine::Due() const { return terminal_ && clock_.Monotonic() >= next_; }

void StatusLine::Show(std::string_view text) {
  if (!terminal_) return;
  // A line longer than the terminal would wrap, and the next one would not cover it.
  const std::string line(CutText(Printable(text), TerminalColumns() - 1));
  std::fprintf(stderr, "\r\x1b[K%s", line.c_str());
  std::fflush(stderr);
  next_ = clock_.Monotonic() + std::chrono::milliseconds(100);
  dirty_ = true;
}

void StatusLine::Clear() {
  if (!dirty_) return;
  std::fputs("\r\x1b[K", stderr);
  std::fflush(stderr);
  dirty_ = false;
}

void Note(std::string_view text) {
  if (::isatty(STDERR_FILENO) == 1) std::fprintf(stderr, "%s\n", Printable(text).c_str());
}

}  // namespace quantfleet::cli
