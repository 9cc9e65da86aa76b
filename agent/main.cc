#include <cstdio>
#include <string>
#include <string_view>

#include "agent/program.h"
#include "common/base/fail_point.h"

namespace {

// The one place that knows the version, in the words that pipeline/artifact/program/agent_program.h
// looks for in the file. Kept as it stands, whatever the compiler makes of its uses.
[[gnu::used]] const char kVersionMark[] = "quantfleet-agent-version=" QUANTFLEET_VERSION "\n";

std::string Version() {
  const std::string_view mark = kVersionMark;
  const size_t begin = mark.find('=') + 1;
  return std::string(mark.substr(begin, mark.size() - begin - 1));
}

}  // namespace

int main(int argc, char** argv) {
  if (const auto list = quantfleet::FailPointsAskedFor(argc, argv, quantfleet::Program::kAgent)) {
    std::fputs(list->c_str(), stdout);
    return 0;
  }
  return quantfleet::agent::RunProgram(argc, argv, Version());
}
