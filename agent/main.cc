// quantfleet-agent: the device's program. Exit codes: 0 done, 1 failed, 2 wrong usage.
#include <fmt/core.h>

#include <CLI/CLI.hpp>

#include "agent/fleet_commands.h"
#include "agent/model_commands.h"
#include "agent/serve_command.h"

namespace {

// The one place that knows the version, in the words that pipeline/format/elf/agent_program.h looks for in the file.
// Kept as it stands, whatever the compiler makes of its uses.
[[gnu::used]] const char kVersionMark[] = "quantfleet-agent-version=" QUANTFLEET_VERSION "\n";

std::string Version() {
  const std::string_view mark = kVersionMark;
  const size_t begin = mark.find('=') + 1;
  return std::string(mark.substr(begin, mark.size() - begin - 1));
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"The agent of a quantfleet device: enrols it, keeps its models current, runs them"};
  const std::string version = Version();
  app.set_version_flag("--version", "quantfleet-agent " + version);
  app.require_subcommand(1);
  quantfleet::agent::Action action;
  quantfleet::agent::AddFleetCommands(app, action, {version, argv});
  quantfleet::agent::AddModelCommands(app, action);
  quantfleet::agent::AddServeCommand(app, action, version);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  const absl::Status status = action();
  if (status.ok()) return 0;
  fmt::print(stderr, "quantfleet-agent: {}\n", quantfleet::Describe(status));
  return 1;
}
