// How a command of the CLI ends, and what its exit code means. Used by every command file.
//
//   0  done        1  it failed (the reason is on stderr)        2  wrong usage
#pragma once

#include <cstdlib>
#include <string_view>

#include "CLI/CLI.hpp"
#include "common/base/status.h"

namespace quantfleet::cli {

inline constexpr int kExitFailed = 1;
inline constexpr int kExitUsage = 2;

// Ends the command when the status is not OK: "quantfleet: <message>" on stderr, exit code 1. Call
// it from a command's callback, on the main thread.
void ExitOnError(const absl::Status& status);

// The value, or ExitOnError.
template <typename T>
T ValueOrExit(absl::StatusOr<T> result) {
  ExitOnError(result.status());
  return std::move(*result);
}

// "quantfleet: warning: <text>" on stderr; the command continues. An empty text prints nothing.
void Warn(std::string_view text);

// "quantfleet: <text>" on stderr: what is going on.
void Say(std::string_view text);

// Writes data for the user or a script to stdout, shown as outside_text.h shows lines; a reader
// that went away (head) is no error.
void PrintOut(std::string_view text);

}  // namespace quantfleet::cli
