// The engine's options, as commands that run a model file take them.
#pragma once

#include <CLI/CLI.hpp>

#include "engine/decode/engine.h"

namespace quantfleet::agent {

// --threads, --context and --kv-type; and what the machine has left is what a context has to fit.
void AddEngineOptions(CLI::App& command, engine::EngineOptions& engine);

}  // namespace quantfleet::agent
