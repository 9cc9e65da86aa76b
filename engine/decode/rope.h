// Rotary position embedding: the angles of a model's positions, and the turning of heads by them.
// Immutable after Create, therefore thread-safe.
//
// Angle of pair i at position p: p * theta^(-2i/rope_dims) / factor_i. Cosine and sine are
// multiplied by LongRoPE's attention factor. Pairs are (i, i + rope_dims/2), or (2i, 2i + 1) where
// rows are interleaved; the dimensions of a head behind rope_dims stay as they are.
#pragma once

#include <cstdint>
#include <vector>

#include "common/base/status.h"
#include "pipeline/model/description.h"

namespace quantfleet::engine {

class Rope {
 public:
  // LongRoPE's long factors serve a session whose context exceeds the original one, whatever its
  // length at a moment (as llama.cpp decides it).
  static absl::StatusOr<Rope> Create(const pipeline::Hyperparameters& hyper, int64_t context,
                                     bool interleaved);

  // Cosine and sine of each pair, interleaved: rope_dims values.
  void Angles(int64_t position, float* out) const;
  int64_t dims() const { return 2 * static_cast<int64_t>(frequencies_.size()); }

  // Turns `heads` heads of head_dim values each, in place.
  void Turn(const float* angles, int64_t heads, int64_t head_dim, float* values) const;

 private:
  std::vector<double> frequencies_;  // per pair
  double magnitude_ = 1;
  bool interleaved_ = false;
};

}  // namespace quantfleet::engine
