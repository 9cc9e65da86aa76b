#include <cstdio>

#include "cli/program.h"
#include "common/base/fail_point.h"

int main(int argc, char** argv) {
  if (const auto list = quantfleet::FailPointsAskedFor(argc, argv, quantfleet::Program::kCommand)) {
    std::fputs(list->c_str(), stdout);
    return 0;
  }
  return quantfleet::cli::RunProgram(argc, argv);
}
