// `quantfleet-agent prompt`: what a model sees of a chat. Needs no daemon and no enrollment.
#pragma once

#include "agent/model_commands.h"

namespace quantfleet::agent {

// `action` must outlive the app's parse.
void AddPromptCommand(CLI::App& app, Action& action);

}  // namespace quantfleet::agent
