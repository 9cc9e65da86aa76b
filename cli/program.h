// The operator's command: commands that need no daemon, and commands that speak to one.
#pragma once

namespace CLI {
class App;
}

namespace quantfleet::cli {

// All commands, with their options and examples.
void AddCommands(CLI::App& app);

// Returns the process's exit code, as `quantfleet --help` lists them.
int RunProgram(int argc, char** argv);

}  // namespace quantfleet::cli
