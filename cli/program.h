// The operator's command: commands that need no daemon, and commands that speak to one.
#pragma once

namespace quantfleet::cli {

// The process's exit code, as `quantfleet --help` has them.
int RunProgram(int argc, char** argv);

}  // namespace quantfleet::cli
