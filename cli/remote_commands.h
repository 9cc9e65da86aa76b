// Commands that talk to a daemon: model, job, artifact, class, token, device, rollout, status.
#pragma once

#include "CLI/CLI.hpp"

namespace quantfleet::cli {

// Adds --credential and --server to the app, and every command group.
void AddRemoteCommands(CLI::App& app);

}  // namespace quantfleet::cli
