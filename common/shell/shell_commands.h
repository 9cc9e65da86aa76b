// The commands `completion` and `manual` that every program has, and what each says about a command
// line that it does not understand.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "common/base/file.h"
#include "common/base/status.h"

namespace CLI {
class App;
class Error;
}  // namespace CLI

namespace quantfleet::shell {

// What is done once the line is parsed; a program runs it as it runs its other commands. `text`
// gets what belongs on stdout.
using Done = std::function<void(absl::StatusOr<std::string> text)>;

// Adds both to `app`, whose other commands may be added later. `done` is called while `app` parses.
// `files` and `app` outlive it.
void AddShellCommands(CLI::App& app, FileSystem& files, std::string version, Done done);

// How a program shows its --help, and what it says of a command line that it refuses. Before its
// commands are added, which have the same.
void ShapeMessages(CLI::App& app);

// What was wrong with the command line, for one line on stderr: the word that is not known and the
// one that may have been meant, or else what CLI11 says.
std::string UsageMessage(const CLI::App& app, const CLI::Error& error);

}  // namespace quantfleet::shell
