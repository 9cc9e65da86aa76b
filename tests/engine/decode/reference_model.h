// A random model in memory and what it says, computed in double precision straight from the
// definition: no cache, no batches, rows in HF's order, rotation by halves. Written apart from the
// engine's code, to be compared with it.
#pragma once

#include <cmath>
#include <random>
#include <vector>

#include "engine/decode/weights.h"
#include "pipeline/tensor/codec.h"

namespace quantfleet::testing {

using pipeline::Architecture;
using pipeline::DType;
using pipeline::Hyperparameters;
using pipeline::ModelDescription;
using pipeline::Role;

using Rows = std::vector<std::vector<double>>;  // [row][column]

struct ReferenceLayer {
  std::vector<double> attn_norm, ffn_norm, q_bias, k_bias, v_bias;
  Rows q, k, v, attn_output, gate, up, down;
};

struct ReferenceModel {
  ModelDescription description;
  Bytes file;                     // what a GGUF would hold, tensor after tensor
  std::vector<uint64_t> offsets;  // by tensor
  Rows embedding, head;
  std::vector<double> output_norm;
  std::vector<ReferenceLayer> layers;

  absl::StatusOr<engine::Weights> Map(const engine::VectorOps& ops) const {
    return engine::MapWeights(description, file, [&](size_t t) { return offsets[t]; }, ops);
  }
};

struct ReferenceOptions {
  Architecture architecture = Architecture::kPhi3;
  DType dtype = DType::kF32;
  bool tied = false;
  Hyperparameters hyper{.hidden = 64,
                        .intermediate = 96,
                        .layers = 3,
                        .heads = 4,
                        .kv_heads = 2,
                        .head_dim = 16,
                        .vocab = 50,
                        .context = 64,
                        .original_context = 64,
                        .rope_dims = 16,
                        .rope_scaling = {}};
};

class ReferenceBuilder {
 public:
  explicit ReferenceBuilder(const ReferenceOptions& options) : options_(options) {
    model_.description.architecture = options.architecture;
    model_.description.hyper = options.hyper;
    model_.description.hyper.tied_embeddings = options.tied;
  }

  ReferenceModel Build() {
    const Hyperparameters& h = options_.hyper;
    const bool phi3 = options_.architecture == Architecture::kPhi3;
    const int64_t q = h.heads * h.head_dim, kv = h.kv_heads * h.head_dim;
    model_.embedding = Matrices({{Role::kTokenEmbedding, h.vocab}}, -1, h.hidden, 1.0)[0];
    for (int l = 0; l < h.layers; ++l) {
      ReferenceLayer& layer = model_.layers.emplace_back();
      layer.attn_norm = Vector(Role::kAttnNorm, l, h.hidden, 0.8, 0.2);
      const std::vector<Rows> qkv =
          phi3 ? Matrices({{Role::kAttnQ, q}, {Role::kAttnK, kv}, {Role::kAttnV, kv}}, l, h.hidden,
                          0.25)
               : Apart({{Role::kAttnQ, q}, {Role::kAttnK, kv}, {Role::kAttnV, kv}}, l, h.hidden,
                       0.25);
      layer.q = qkv[0], layer.k = qkv[1], layer.v = qkv[2];
      if (options_.architecture == Architecture::kQwen2) {
        layer.q_bias = Vector(Role::kAttnQBias, l, q, 0, 0.5);
        layer.k_bias = Vector(Role::kAttnKBias, l, kv, 0, 0.5);
        layer.v_bias = Vector(Role::kAttnVBias, l, kv, 0, 0.5);
      }
      layer.attn_output = Matrices({{Role::kAttnOutput, h.hidden}}, l, q, 0.2)[0];
      layer.ffn_norm = Vector(Role::kFfnNorm, l, h.hidden, 1.1, 0.2);
      const std::vector<Rows> gate_up =
          phi3 ? Matrices({{Role::kFfnGate, h.intermediate}, {Role::kFfnUp, h.intermediate}}, l,
                          h.hidden, 0.2)
               : Apart({{Role::kFfnGate, h.intermediate}, {Role::kFfnUp, h.intermediate}}, l,
                       h.hidden, 0.2);
      layer.gate = gate_up[0], layer.up = gate_up[1];
      layer.down = Matrices({{Role::kFfnDown, h.hidden}}, l, h.intermediate, 0.2)[0];
    }
    model_.output_norm = Vector(Role::kOutputNorm, -1, h.hidden, 1, 0.1);
    model_.head = options_.tied ? model_.embedding
                                : Matrices({{Role::kOutputHead, h.vocab}}, -1, h.hidden, 0.3)[0];
    return std::move(model_);
  }

 private:
  using Part = std::pair<Role, int64_t>;  // rows

  bool Interleaved(Role role) const {
    return options_.architecture == Architecture::kLlama &&
           (role == Role::kAttnQ || role == Role::kAttnK);
  }

  size_t AddTensor(DType dtype, int64_t rows, int64_t cols, int dims, ByteSpan bytes) {
    // An odd gap: tensors of a bad file need not be aligned.
    model_.file.resize(model_.file.size() + 3);
    model_.offsets.push_back(model_.file.size());
    model_.file.insert(model_.file.end(), bytes.begin(), bytes.end());
    const size_t index = model_.description.tensors.size();
    model_.description.tensors.push_back({fmt::format("tensor{}", index), dtype, rows, cols, dims});
    return index;
  }

  // Several pieces fused into one tensor, each with the values that its blocks decode to, in HF's
  // row order.
  std::vector<Rows> Matrices(const std::vector<Part>& parts, int layer, int64_t cols,
                             double spread) {
    std::vector<Rows> result;
    Bytes bytes;
    int64_t first_row = 0;
    const size_t tensor = model_.description.tensors.size();
    for (const auto& [role, rows] : parts) {
      result.push_back(Part1(role, rows, cols, spread, bytes));
      model_.description.pieces.push_back(
          {role, layer, rows, cols, 2, tensor, first_row,
           Interleaved(role) ? pipeline::RowOrder::kInterleaved : pipeline::RowOrder::kHf});
      first_row += rows;
    }
    AddTensor(options_.dtype, first_row, cols, 2, bytes);
    return result;
  }

  std::vector<Rows> Apart(const std::vector<Part>& parts, int layer, int64_t cols, double spread) {
    std::vector<Rows> result;
    for (const Part& part : parts) result.push_back(Matrices({part}, layer, cols, spread)[0]);
    return result;
  }

  Rows Part1(Role role, int64_t rows, int64_t cols, double spread, Bytes& bytes) {
    const pipeline::Codec& codec = *pipeline::FindCodec(options_.dtype);
    const auto row_bytes = static_cast<size_t>(RowBytes(options_.dtype, cols));
    Rows values(static_cast<size_t>(rows));
    Bytes encoded(row_bytes * values.size());
    std::normal_distribution<float> normal(0, static_cast<float>(spread));
    for (int64_t r = 0; r < rows; ++r) {
      std::vector<float> row(static_cast<size_t>(cols)), decoded(row.size());
      for (float& v : row) v = normal(random_);
      // HF row h*d/2 + i of a head stands at 2i + h in the file.
      const int64_t d = options_.hyper.head_dim, in_head = r % d;
      const int64_t place =
          Interleaved(role) ? r - in_head + 2 * (in_head % (d / 2)) + in_head / (d / 2) : r;
      std::byte* out = encoded.data() + static_cast<size_t>(place) * row_bytes;
      codec.encode(row.data(), 1, cols, nullptr, out);
      codec.decode(out, cols, decoded.data());
      values[static_cast<size_t>(r)].assign(decoded.begin(), decoded.end());
    }
    bytes.insert(bytes.end(), encoded.begin(), encoded.end());
    return values;
  }

  std::vector<double> Vector(Role role, int layer, int64_t size, double mean, double spread) {
    std::normal_distribution<float> normal(static_cast<float>(mean), static_cast<float>(spread));
    std::vector<float> values(static_cast<size_t>(size));
    for (float& v : values) v = normal(random_);
    const size_t tensor = AddTensor(DType::kF32, 1, size, 1, std::as_bytes(std::span(values)));
    model_.description.pieces.push_back({role, layer, 1, size, 1, tensor, 0});
    return {values.begin(), values.end()};
  }

  ReferenceOptions options_;
  ReferenceModel model_;
  std::mt19937_64 random_{11};
};

// Angles of one position, by the definition; `factors` may be empty.
struct ReferenceRope {
  std::vector<double> factors;
  double magnitude = 1;
};

inline std::vector<double> Times(const Rows& w, const std::vector<double>& x) {
  std::vector<double> y;
  for (const auto& row : w) {
    double sum = 0;
    for (size_t i = 0; i < x.size(); ++i) sum += row[i] * x[i];
    y.push_back(sum);
  }
  return y;
}

inline void AddTo(std::vector<double>& x, const std::vector<double>& y) {
  for (size_t i = 0; i < y.size(); ++i) x[i] += y[i];
}

inline std::vector<double> RmsNorm(const std::vector<double>& x, const std::vector<double>& w,
                                   double epsilon) {
  double square = 0;
  for (double v : x) square += v * v;
  const double scale = 1 / std::sqrt(square / static_cast<double>(x.size()) + epsilon);
  std::vector<double> y;
  for (size_t i = 0; i < x.size(); ++i) y.push_back(x[i] * scale * w[i]);
  return y;
}

inline void RotateHalves(std::vector<double>& heads, const Hyperparameters& h,
                         const ReferenceRope& rope, size_t at) {
  const size_t half = static_cast<size_t>(h.rope_dims) / 2, dim = static_cast<size_t>(h.head_dim);
  for (size_t head = 0; head * dim < heads.size(); ++head) {
    for (size_t i = 0; i < half; ++i) {
      double frequency =
          std::pow(double{h.rope_theta}, -static_cast<double>(i) / static_cast<double>(half));
      if (!rope.factors.empty()) frequency /= rope.factors[i];
      const double c = rope.magnitude * std::cos(static_cast<double>(at) * frequency);
      const double s = rope.magnitude * std::sin(static_cast<double>(at) * frequency);
      double &a = heads[head * dim + i], &b = heads[head * dim + i + half];
      const double x = a, y = b;
      a = x * c - y * s;
      b = y * c + x * s;
    }
  }
}

// The residual stream of every token after one layer.
inline void RunReferenceLayer(const ReferenceLayer& l, const Hyperparameters& h,
                              const ReferenceRope& rope, Rows& xs) {
  Rows qs, ks, vs;
  const size_t dim = static_cast<size_t>(h.head_dim),
               group = static_cast<size_t>(h.heads / h.kv_heads);
  for (size_t t = 0; t < xs.size(); ++t) {
    const std::vector<double> n = RmsNorm(xs[t], l.attn_norm, h.rms_epsilon);
    qs.push_back(Times(l.q, n)), ks.push_back(Times(l.k, n)), vs.push_back(Times(l.v, n));
    AddTo(qs[t], l.q_bias), AddTo(ks[t], l.k_bias), AddTo(vs[t], l.v_bias);
    RotateHalves(qs[t], h, rope, t), RotateHalves(ks[t], h, rope, t);
  }
  for (size_t t = 0; t < xs.size(); ++t) {
    std::vector<double> mixed(qs[t].size(), 0);
    for (size_t head = 0; head < static_cast<size_t>(h.heads); ++head) {
      const size_t q0 = head * dim, k0 = head / group * dim;
      std::vector<double> weight;
      double total = 0;
      for (size_t s = 0; s <= t; ++s) {
        double score = 0;
        for (size_t i = 0; i < dim; ++i) score += qs[t][q0 + i] * ks[s][k0 + i];
        weight.push_back(std::exp(score / std::sqrt(static_cast<double>(dim))));
        total += weight.back();
      }
      for (size_t s = 0; s <= t; ++s) {
        for (size_t i = 0; i < dim; ++i) mixed[q0 + i] += weight[s] / total * vs[s][k0 + i];
      }
    }
    AddTo(xs[t], Times(l.attn_output, mixed));
    const std::vector<double> n = RmsNorm(xs[t], l.ffn_norm, h.rms_epsilon);
    std::vector<double> gate = Times(l.gate, n);
    const std::vector<double> up = Times(l.up, n);
    for (size_t i = 0; i < gate.size(); ++i) gate[i] = gate[i] / (1 + std::exp(-gate[i])) * up[i];
    AddTo(xs[t], Times(l.down, gate));
  }
}

// Logits of every token.
inline Rows ReferenceLogits(const ReferenceModel& model, const ReferenceRope& rope,
                            const std::vector<int32_t>& ids) {
  const Hyperparameters& h = model.description.hyper;
  Rows xs;
  for (int32_t id : ids) xs.push_back(model.embedding[static_cast<size_t>(id)]);
  for (const ReferenceLayer& layer : model.layers) RunReferenceLayer(layer, h, rope, xs);
  Rows logits;
  for (const auto& x : xs)
    logits.push_back(Times(model.head, RmsNorm(x, model.output_norm, h.rms_epsilon)));
  return logits;
}

}  // namespace quantfleet::testing
