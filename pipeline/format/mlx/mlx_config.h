// config.json of an MLX folder. Pure.
#pragma once

#include <boost/json.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "pipeline/model/source.h"

namespace quantfleet::pipeline {

// How the codes of a module lie: bits of each, and how many share a scale and a bias.
struct MlxGroups {
  int bits;
  int64_t size;
  bool operator==(const MlxGroups&) const = default;
};

// What mlx-lm is told of one quantized module: "model.layers.0.self_attn.qkv_proj".
struct MlxModule {
  std::string path;
  MlxGroups groups;
};

// The source's members where it has some, as mlx_lm.convert keeps them, with ours in their place or
// beside them: mlx-lm knows fewer spellings than we. `float_type` is of what is not quantized:
// "float16", "bfloat16". `common` is how the modules lie that no override names; nullopt where none
// is quantized. UNIMPLEMENTED names a setting of the
// model that MLX's model of this architecture does not have.
absl::StatusOr<boost::json::object> MlxConfig(const ModelSource& source,
                                              std::string_view float_type,
                                              const std::optional<MlxGroups>& common,
                                              const std::vector<MlxModule>& modules);

}  // namespace quantfleet::pipeline
