// config.json of an MLX folder. Pure.
#pragma once

#include <string>
#include <vector>

#include "common/base/status.h"
#include "pipeline/model/description.h"

namespace quantfleet::pipeline {

inline constexpr int kMlxGroup = 32;  // the blocks of our codes

// What mlx-lm is told of one quantized module: "model.layers.0.self_attn.qkv_proj".
struct MlxModule {
  std::string path;
  int bits;
};

// `float_type` is of what is not quantized: "float16", "bfloat16". `bits` are of the modules that are not
// named in an override. UNIMPLEMENTED names a setting of the model that MLX's model of this architecture does
// not have.
absl::StatusOr<std::string> MlxConfig(const ModelDescription& model, std::string_view float_type, int bits,
                                      const std::vector<MlxModule>& modules);

}  // namespace quantfleet::pipeline
