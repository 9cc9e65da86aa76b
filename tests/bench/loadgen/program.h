// quantfleet-loadgen: many simulated devices against a daemon on this machine. One JSON object per
// run on stdout.
#pragma once

namespace quantfleet::loadgen {

// The process's exit code: 0 done without errors, 1 with errors or not at all, 2 wrong usage.
int RunProgram(int argc, char** argv);

}  // namespace quantfleet::loadgen
