// quantfleet compare: two models side by side, as measured on a text.
#pragma once

#include "cli/command.h"

namespace quantfleet::cli {

void AddCompareCommand(CLI::App& app);

}  // namespace quantfleet::cli
