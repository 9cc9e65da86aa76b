#include "cli/remote_progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <csignal>
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

constexpr int kExitInterrupted = 128 + SIGINT;  // as shells have it
std::string farewell;                           // written by the handler, set while it is not there

// Only what is safe in a signal's handler.
void SayFarewell(int) {
  (void)!::write(STDERR_FILENO, farewell.data(), farewell.size());
  ::_exit(kExitInterrupted);
}

}  // namespace

StatusLine::StatusLine(const Clock& clock, std::string_view on_interrupt)
    : clock_(clock),
      terminal_(::isatty(STDERR_FILENO) == 1),
      interruptible_(!on_interrupt.empty()) {
  if (!interruptible_) return;
  farewell =
      fmt::format("{}quantfleet: {}\n", terminal_ ? "\r\x1b[K" : "", Printable(on_interrupt));
  std::signal(SIGINT, SayFarewell);
}

StatusLine::~StatusLine() {
  if (interruptible_) std::signal(SIGINT, SIG_DFL);
  Clear();
}

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

void StatusLine::Event(std::string_view text) {
  if (terminal_ || text == told_) return;
  told_ = text;
  std::fprintf(stderr, "%s\n", Printable(text).c_str());
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
