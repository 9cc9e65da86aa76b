#include "cli/command.h"

#include <cstdio>

#include "common/base/outside_text.h"

namespace quantfleet::cli {

void ExitOnError(const absl::Status& status) {
  if (status.ok()) return;
  fmt::print(stderr, "quantfleet: {}\n", Message(status));
  // CLI11 prints nothing for this one and hands the code to main.
  throw CLI::RuntimeError(kExitFailed);
}

void Warn(std::string_view text) {
  if (!text.empty()) fmt::print(stderr, "quantfleet: warning: {}\n", Shown(text, kMaxMessage));
}

void Say(std::string_view text) { fmt::print(stderr, "quantfleet: {}\n", ShownLines(text)); }

void PrintOut(std::string_view text) {
  const std::string shown = ShownLines(text);
  std::fwrite(shown.data(), 1, shown.size(), stdout);
  std::fflush(stdout);
}

}  // namespace quantfleet::cli
