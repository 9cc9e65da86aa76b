#include "agent/program.h"

#include <fmt/core.h>

#include <CLI/CLI.hpp>

#include "agent/embed_command.h"
#include "agent/fleet_commands.h"
#include "agent/model_commands.h"
#include "agent/prompt_command.h"
#include "agent/serve_command.h"
#include "common/base/access.h"

namespace quantfleet::agent {

int RunProgram(int argc, char** argv, const std::string& version) {
  KeepOthersFromWriting();
  KeepMemoryPrivate();
  CLI::App app{
      "The agent on a quantfleet device: enrolls it, keeps its models current and runs them"};
  app.set_version_flag("--version", "quantfleet-agent " + version);
  app.require_subcommand(1);
  Action action;
  AddFleetCommands(app, action, {version, argv});
  AddModelCommands(app, action);
  AddEmbedCommand(app, action);
  AddPromptCommand(app, action);
  AddServeCommand(app, action, version);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  const absl::Status status = action();
  if (status.ok()) return 0;
  fmt::print(stderr, "quantfleet-agent: {}\n", Describe(status));
  return 1;
}

}  // namespace quantfleet::agent
