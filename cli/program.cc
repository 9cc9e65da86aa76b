#include "cli/program.h"

#include <csignal>
#include <cstdio>
#include <exception>

#include "CLI/CLI.hpp"
#include "cli/command.h"
#include "cli/examples.h"
#include "cli/local_commands.h"
#include "cli/remote_commands.h"
#include "common/base/access.h"
#include "common/base/outside_text.h"
#include "common/shell/shell_commands.h"

namespace quantfleet::cli {

void AddCommands(CLI::App& app) {
  AddLocalCommands(app);
  AddRemoteCommands(app);
  shell::AddShellCommands(app, RealFileSystem(), QUANTFLEET_VERSION,
                          [](const auto& text) { PrintOut(ValueOrExit(text)); });
  AddExamples(app);
}

int RunProgram(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  KeepMemoryPrivate();
  CLI::App app(
      "Quantizes language models and keeps a fleet of devices running the right version of them.",
      "quantfleet");
  app.set_version_flag("--version", "quantfleet " QUANTFLEET_VERSION);
  shell::ShapeMessages(app);
  app.require_subcommand(1);
  app.footer(
      "Exit codes: 0 success, 1 failure (the reason is on stderr), 2 wrong usage,\n3 the daemon "
      "could not be reached, 4 not permitted, 5 not found,\n6 the watched rollout was rolled back, "
      "7 it was aborted.\nData goes to stdout, messages and progress to stderr.");
  AddCommands(app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::RuntimeError& error) {
    return error.get_exit_code();  // the command has said why
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kExitUsage;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "quantfleet: %s\n", ShownLines(error.what()).c_str());
    return kExitFailed;
  }
  return 0;
}

}  // namespace quantfleet::cli
