// quantfleetd: reads flags or a configuration file, runs a Server until a signal comes, writes logs
// to stderr.
#pragma once

namespace quantfleet::daemon {

// The process's exit code: 0 stopped on request, or done (backup, restore, keys); 1 failed; 2 wrong
// usage.
int RunProgram(int argc, char** argv);

}  // namespace quantfleet::daemon
