// Tables of a rotary embedding's cosines and sines, which graphs of fixed operators look up. Pure.
#pragma once

#include <vector>

#include "pipeline/model/description.h"

namespace quantfleet::pipeline {

// Behind the names of the tables by which layers with a window turn, where those are others.
inline constexpr const char* kSliding = "_sliding";

inline std::vector<double> Wide(const std::vector<float>& values) {
  return {values.begin(), values.end()};
}

// Of all positions below some number, [positions, rope_dims/2] each.
struct RopeTables {
  std::vector<float> cos, sin;
};

// `factors` divide each pair's frequency, or `factor` all of them where there are none; both tables
// are multiplied by `magnitude`.
RopeTables MakeRopeTables(const Hyperparameters& h, int64_t positions,
                          const std::vector<double>& factors, double factor, double magnitude);

}  // namespace quantfleet::pipeline
