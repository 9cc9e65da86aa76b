// The keys that a model's GGUF carries, in their fixed order. Pure.
#pragma once

#include "pipeline/format/gguf/write/gguf_writer.h"
#include "pipeline/recipe/recipe.h"

namespace quantfleet::pipeline {

// The recipe's body is one of ggml's types.
void WriteKeys(const ModelDescription& model, const Recipe& recipe, GgufWriter& out);

}  // namespace quantfleet::pipeline
