// What config.json says of weights that are quantized already: quantization_config (FP8,
// compressed-tensors, GPTQ, AWQ, MXFP4), or MLX's quantization. Pure; the text is untrusted.
#pragma once

#include <boost/json/fwd.hpp>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/status.h"

namespace quantfleet::pipeline {

struct HfQuantization {
  enum class Method { kNone, kFp8, kCompressedTensors, kGptq, kAwq, kMlx, kMxfp4 };
  // How some weights are quantized; 0: it is not said.
  struct Scheme {
    int64_t bits = 0;
    int64_t group = 0;      // columns; -1: a whole row
    std::string mode = {};  // MLX's: "affine", "mxfp4"
    // compressed-tensors': there are zero points, without which values would be others.
    bool asymmetric = false;
  };
  Method method = Method::kNone;
  std::string name = {};  // "gptq", as the file has it
  // GPTQ, AWQ and MLX: one for all modules; compressed-tensors: one for each of its groups.
  std::vector<Scheme> schemes = {};
  std::map<std::string, Scheme, std::less<>> modules = {};  // MLX: of some, in place of that
  // FP8 with a scale for each block of so many rows and columns; 0: another kind of scales.
  int64_t block_rows = 0, block_cols = 0;
  bool zero_points_plus_one = false;  // GPTQ's first version: one less than is meant is stored
};

// INVALID_ARGUMENT names the field; UNIMPLEMENTED names what is not supported and what is.
absl::StatusOr<HfQuantization> ParseHfQuantization(const boost::json::object& config,
                                                   const std::string& where);

}  // namespace quantfleet::pipeline
