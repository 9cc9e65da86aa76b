#include "common/base/fail_point.h"

#include <fmt/core.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <string>
#include <string_view>

namespace quantfleet {
namespace {

struct Armed {
  std::string name;
  std::atomic<long> left{0};
  Armed() {
    const char* text = std::getenv("QUANTFLEET_FAIL_POINT");
    if (!text) return;
    name = text;
    left = 1;
    if (const size_t colon = name.find(':'); colon != std::string::npos) {
      left = std::atol(name.c_str() + colon + 1);
      name.resize(colon);
    }
  }
};

bool Passes(Program program, FailPointRow::In in) {
  switch (in) {
    case FailPointRow::In::kDaemon:
      return program == Program::kDaemon;
    case FailPointRow::In::kAgent:
      return program == Program::kAgent;
    case FailPointRow::In::kMakers:
      return program != Program::kAgent;
  }
  return false;
}

}  // namespace

void FailPoint(FailPointName name) {
  static Armed armed;
  if (armed.name.empty() || armed.name != name.text()) return;
  if (armed.left.fetch_sub(1) == 1) std::raise(SIGKILL);
}

std::optional<std::string> FailPointsAskedFor(int argc, char** argv, Program program) {
  if (argc != 2 || std::string_view(argv[1]) != "--list-fail-points") return std::nullopt;
  std::string text;
  for (const FailPointRow& row : kFailPoints)
    if (Passes(program, row.in)) text += fmt::format("{}\t{}\n", row.name, row.moment);
  return text;
}

}  // namespace quantfleet
