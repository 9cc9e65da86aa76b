// quantfleet calibrate: what a model's weights are multiplied with on a text, as a folder.
#pragma once

#include "CLI/CLI.hpp"

namespace quantfleet::cli {

void AddCalibrateCommand(CLI::App& app);

}  // namespace quantfleet::cli
