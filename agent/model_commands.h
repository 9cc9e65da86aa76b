// The agent's commands on a model file: run, tokenize, eval, bench. They need no daemon and no
// enrollment.
#pragma once

#include <functional>

#include "common/base/status.h"

namespace CLI {
class App;
}

namespace quantfleet::agent {

// What the command line asked for; the parser's callbacks set it, main runs it. Data goes to
// stdout, the rest to stderr.
using Action = std::function<absl::Status()>;

// `action` must outlive the app's parse.
void AddModelCommands(CLI::App& app, Action& action);

}  // namespace quantfleet::agent
