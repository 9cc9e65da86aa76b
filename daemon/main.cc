#include <cstdio>

#include "common/base/fail_point.h"
#include "daemon/program.h"

int main(int argc, char** argv) {
  if (const auto list = quantfleet::FailPointsAskedFor(argc, argv, quantfleet::Program::kDaemon)) {
    std::fputs(list->c_str(), stdout);
    return 0;
  }
  return quantfleet::daemon::RunProgram(argc, argv);
}
