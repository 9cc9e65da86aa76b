// `quantfleet-agent embed`: texts to vectors. Needs no daemon and no enrollment.
#pragma once

#include "agent/model_commands.h"

namespace quantfleet::agent {

// `action` must outlive the app's parse.
void AddEmbedCommand(CLI::App& app, Action& action);

}  // namespace quantfleet::agent
