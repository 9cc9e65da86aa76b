// quantfleet quantize: a model in, artifacts out, on this machine.
#pragma once

#include "CLI/CLI.hpp"

namespace quantfleet::cli {

void AddQuantizeCommand(CLI::App& app);

}  // namespace quantfleet::cli
