// The agent's program, for devices.
#pragma once

#include <string>

namespace quantfleet::agent {

// The process's exit code: 0 done, 1 failed, 2 wrong usage.
int RunProgram(int argc, char** argv, const std::string& version);

}  // namespace quantfleet::agent
