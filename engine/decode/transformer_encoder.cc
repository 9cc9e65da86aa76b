// The transformer as an encoder: every token of a sequence sees every other, so a sequence is one
// batch, whatever its length; norms stand behind each part.
#include "engine/decode/grain.h"
#include "engine/decode/steps.h"
#include "engine/decode/transformer.h"

namespace quantfleet::engine {
namespace {

using pipeline::Role;

}  // namespace

// The token's, its position's and the first type's rows together; a sequence is of one type.
void Transformer::SetEncoderRow(int64_t row, const KvCache& cache, int32_t token) {
  SetRow(row, cache, row, token);
  float* x = x_.data() + row * hyper_.hidden;
  float* other = added_.data() + row * hyper_.hidden;
  const auto width = static_cast<size_t>(hyper_.hidden);
  for (const auto& [role, at] :
       {std::pair(Role::kPositionEmbedding, row), {Role::kTokenTypes, 0}}) {
    const Matrix& w = weights_.outer.matrix(role);
    w.decode(w.row(at), hyper_.hidden, other);
    AddScaled(1, {other, width}, x);
  }
  Normalize(weights_.outer, Role::kEmbeddingNorm, x, x, 1);
}

void Transformer::RunEncoderLayer(int layer, int64_t batch) {
  const LayerWeights& w = weights_.layers[layer];
  const std::span<const float> added(added_.data(), static_cast<size_t>(batch * hyper_.hidden));
  const auto product = [&](Role weight, std::vector<float>& y) {
    const std::optional<Role> bias = Info(weight).bias;
    return Product{weight, &w.matrix(weight), bias ? &w.vector(*bias) : nullptr, y.data()};
  };
  Multiply({product(Role::kAttnQ, q_), product(Role::kAttnK, k_), product(Role::kAttnV, v_)},
           x_.data(), batch);
  StoreKeysAndValues(layer, batch);
  Attend(layer, batch);
  Multiply({product(Role::kAttnOutput, added_)}, attended_.data(), batch);
  AddScaled(1, added, x_.data());
  Normalize(w, Role::kAttnOutputNorm, x_.data(), x_.data(), batch);

  Multiply({product(Role::kFfnUp, gate_)}, x_.data(), batch);
  pool_.ParallelFor(
      batch * hyper_.intermediate, kWorthAThread / 16, [&](int64_t begin, int64_t end) {
        Activate(
            family_.activation,
            std::span(gate_).subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin)),
            nullptr);
      });
  Multiply({product(Role::kFfnDown, added_)}, gate_.data(), batch);
  AddScaled(1, added, x_.data());
  Normalize(w, Role::kLayerOutputNorm, x_.data(), x_.data(), batch);
}

void Transformer::RunEncoder(const KvCache& cache, std::span<const int32_t> tokens) {
  apart_ = false;
  const auto batch = static_cast<int64_t>(tokens.size());
  for (int64_t row = 0; row < batch; ++row)
    SetEncoderRow(row, cache, tokens[static_cast<size_t>(row)]);
  for (int layer = 0; layer < hyper_.layers; ++layer) RunEncoderLayer(layer, batch);
}

}  // namespace quantfleet::engine
