// A model's weights as the engine uses them: matrices that point into the mapped file, and vectors
// decoded to F32. Immutable; the mapped bytes must outlive it.
#pragma once

#include <array>
#include <functional>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/status.h"
#include "engine/kernels/vector_ops.h"
#include "pipeline/model/description.h"

namespace quantfleet::engine {

// Rows of blocks, in the file.
struct Matrix {
  const std::byte* data = nullptr;
  int64_t rows = 0, cols = 0, row_bytes = 0;
  RowDot dot = nullptr;
  RowDecode decode = nullptr;
  pipeline::DType type = pipeline::DType::kF32;

  bool is_f32() const { return type == pipeline::DType::kF32; }
  const std::byte* row(int64_t r) const { return data + r * row_bytes; }
};

// Of a layer, or of the model beside its layers, by role: what the model's family has there.
// An expert's role has those of all experts, one upon the other.
struct LayerWeights {
  std::array<Matrix, pipeline::kRoles> matrices;
  std::array<std::vector<float>, pipeline::kRoles> vectors;  // empty: none

  Matrix& matrix(pipeline::Role role) { return matrices[static_cast<size_t>(role)]; }
  const Matrix& matrix(pipeline::Role role) const { return matrices[static_cast<size_t>(role)]; }
  std::vector<float>& vector(pipeline::Role role) { return vectors[static_cast<size_t>(role)]; }
  const std::vector<float>& vector(pipeline::Role role) const {
    return vectors[static_cast<size_t>(role)];
  }
};

struct Weights {
  const pipeline::Family* family = nullptr;  // never null once mapped
  Matrix embedding, head;                    // the same where they are tied
  LayerWeights outer;                        // the output's norm, biases, positions
  std::vector<LayerWeights> layers;
  bool interleaved_rope = false;  // pairs (2i, 2i+1); otherwise (i, i + rope_dims/2)
};

// Bytes of the file that one token's pass reads: every layer and the head, one row of the
// embedding; of experts those that a token goes through.
int64_t BytesPerToken(const Weights& weights, const pipeline::Hyperparameters& hyper);

// `file_offset` gives where a tensor of the description begins in `file`. Errors name the tensor
// that reaches beyond the file, or whose type or shape the engine does not run.
absl::StatusOr<Weights> MapWeights(const pipeline::ModelDescription& model, ByteSpan file,
                                   const std::function<uint64_t(size_t)>& file_offset,
                                   const VectorOps& ops);

}  // namespace quantfleet::engine
