#include "agent/program.h"

#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "agent/embed_command.h"
#include "agent/fleet_commands.h"
#include "agent/model_commands.h"
#include "agent/prompt_command.h"
#include "agent/serve_command.h"
#include "common/base/access.h"
#include "common/base/file.h"
#include "common/shell/shell_commands.h"

namespace quantfleet::agent {

int RunProgram(int argc, char** argv, const std::string& version) {
  KeepOthersFromWriting();
  KeepMemoryPrivate();
  CLI::App app{
      "The agent on a quantfleet device: enrolls it, keeps its models current and runs them",
      "quantfleet-agent"};
  shell::ShapeMessages(app);
  app.set_version_flag("--version", "quantfleet-agent " + version);
  app.require_subcommand(1);
  Action action;
  AddFleetCommands(app, action, {version, argv});
  AddModelCommands(app, action);
  AddEmbedCommand(app, action);
  AddPromptCommand(app, action);
  AddServeCommand(app, action, version);
  shell::AddShellCommands(app, RealFileSystem(), version, [&action](const auto& text) {
    action = [text]() -> absl::Status {
      QF_RETURN_IF_ERROR(text.status());
      std::fputs(text->c_str(), stdout);
      return absl::OkStatus();
    };
  });
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
