// The engine's options for commands that run a model file.
#pragma once

#include <CLI/CLI.hpp>

#include "engine/decode/engine.h"

namespace quantfleet::agent {

// Adds --threads, --context and --kv-type; a context has to fit the memory that the machine has
// left.
void AddEngineOptions(CLI::App& command, engine::EngineOptions& engine);

}  // namespace quantfleet::agent
