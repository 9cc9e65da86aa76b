// quantfleet inspect: what a model or an artifact is.
#pragma once

#include "CLI/CLI.hpp"

namespace quantfleet::cli {

void AddInspectCommand(CLI::App& app);

}  // namespace quantfleet::cli
