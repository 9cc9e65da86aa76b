// Commands that need no daemon: quantize, calibrate, inspect.
#pragma once

#include "CLI/CLI.hpp"

namespace quantfleet::cli {

void AddLocalCommands(CLI::App& app);

}  // namespace quantfleet::cli
