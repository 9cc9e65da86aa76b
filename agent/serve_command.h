// The agent's command that answers with one model file, without daemon and enrollment.
#pragma once

#include "agent/model_commands.h"

namespace quantfleet::agent {

// `action` must outlive the app's parse.
void AddServeCommand(CLI::App& app, Action& action, const std::string& version);

}  // namespace quantfleet::agent
