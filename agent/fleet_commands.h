// The agent's commands as a member of a fleet: enroll, start, status.
#pragma once

#include "agent/model_commands.h"

namespace quantfleet::agent {

// `action` must outlive the app's parse.
void AddFleetCommands(CLI::App& app, Action& action);

}  // namespace quantfleet::agent
