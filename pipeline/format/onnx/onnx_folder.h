// The folders that an ONNX model is part of: ONNX Runtime GenAI's, transformers.js's and those for
// embeddings, and their small files. Pure.
#pragma once

#include <limits>
#include <string>
#include <vector>

#include "pipeline/format/onnx/onnx_operators.h"
#include "pipeline/model/source.h"
#include "pipeline/recipe/recipe.h"

namespace quantfleet::pipeline {

// Whose folder it becomes, and where the graph and its weights are in it.
struct OnnxFolder {
  enum class Kind { kGenai, kWeb, kEmbedding } kind = Kind::kGenai;
  std::string graph = "model.onnx", weights = "model.onnx.data";
  std::string_view precision = "fp32";                         // as transformers.js says it
  uint64_t most_bytes = std::numeric_limits<uint64_t>::max();  // of a file of weights
};

// UNIMPLEMENTED where transformers.js has no word for the model or for what the recipe wants.
absl::StatusOr<OnnxFolder> FolderOf(const ModelDescription& model, const Recipe& recipe);

// All files but the graph and its weights, of which there are `weights` files. `model` is the
// source's as the graph has it.
absl::StatusOr<std::vector<Attachment>> SmallFiles(const ModelSource& source,
                                                   const ModelDescription& model,
                                                   const OnnxFolder& folder, OnnxFlavour flavour,
                                                   size_t weights);

}  // namespace quantfleet::pipeline
