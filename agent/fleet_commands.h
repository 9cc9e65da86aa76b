// The agent's commands as a member of a fleet: enroll, start, status.
#pragma once

#include "agent/model_commands.h"

namespace quantfleet::agent {

struct Program {
  std::string version;
  char** argv;  // as main got it
};

// `action` must outlive the app's parse.
void AddFleetCommands(CLI::App& app, Action& action, const Program& program);

}  // namespace quantfleet::agent
