// Named places where a test stops a real process as a power cut would: before and after each
// durable step. fail_point_table.h lists them all.
//
// QUANTFLEET_FAIL_POINT="name" or "name:N" makes the process kill itself with SIGKILL when it
// reaches the point for the first or the N-th time. Without the variable a point costs one load.
// Thread-safe.
#pragma once

#include <optional>
#include <string>

#include "common/base/fail_point_table.h"

namespace quantfleet {

// A name of the table; any other does not compile.
class FailPointName {
 public:
  consteval FailPointName(const char* name)  // NOLINT(google-explicit-constructor): as a literal
      : name_(kFailPoints[IndexOf(name)].name) {}
  constexpr std::string_view text() const { return name_; }

 private:
  static consteval size_t IndexOf(std::string_view name) {
    for (size_t i = 0; i < kFailPoints.size(); ++i)
      if (kFailPoints[i].name == name) return i;
    throw "add it to common/base/fail_point_table.h";
  }
  std::string_view name_;
};

void FailPoint(FailPointName name);

// What a program prints for `--list-fail-points` as its only argument: a line for each point that
// it passes, with the name, a tab and what the point stands for. nullopt: that was not the
// argument.
std::optional<std::string> FailPointsAskedFor(int argc, char** argv, Program program);

}  // namespace quantfleet
