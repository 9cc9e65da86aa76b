// `quantfleet fit`: the best mix of types for a budget, as a recipe.
#pragma once

#include "CLI/CLI.hpp"

namespace quantfleet::cli {

void AddFitCommand(CLI::App& app);

}  // namespace quantfleet::cli
