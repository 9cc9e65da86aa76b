// quantfleet-agent: the device's program. Exit codes: 0 done, 1 failed, 2 wrong usage.
#include <fmt/core.h>

#include <CLI/CLI.hpp>

#include "agent/fleet_commands.h"
#include "agent/model_commands.h"
#include "agent/serve_command.h"

int main(int argc, char** argv) {
  CLI::App app{"The agent of a quantfleet device: enrols it, keeps its models current, runs them"};
  app.set_version_flag("--version", "quantfleet-agent " QUANTFLEET_VERSION);
  app.require_subcommand(1);
  quantfleet::agent::Action action;
  quantfleet::agent::AddFleetCommands(app, action);
  quantfleet::agent::AddModelCommands(app, action);
  quantfleet::agent::AddServeCommand(app, action);
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
