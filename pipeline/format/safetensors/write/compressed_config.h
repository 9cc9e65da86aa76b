// quantization_config of a folder whose weights compressed-tensors' layouts hold
// (docs/formats/safetensors.md). Pure.
#pragma once

#include <boost/json.hpp>
#include <string>
#include <vector>

#include "pipeline/tensor/dtype.h"

namespace quantfleet::pipeline {

// A quantized module, "model.layers.0.mlp.down_proj", and its type: a group around the middle, or a
// whole row.
struct CompressedModule {
  std::string path;
  DType type;
};

// `common` is of the modules that need not be named, one of the modules' own. `floats` are modules
// that stay as they are. All types are rows, or none is.
boost::json::object CompressedConfig(const std::vector<CompressedModule>& modules, DType common,
                                     const std::vector<std::string>& floats);

}  // namespace quantfleet::pipeline
