// A random model in memory and what it says, computed in double precision straight from the
// definition: no cache, no batches, rows in HF's order, rotation by halves. Written apart from the
// engine's code, to be compared with it.
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <numbers>
#include <numeric>
#include <random>
#include <vector>

#include "engine/decode/weights.h"
#include "pipeline/family/family.h"
#include "pipeline/family/shapes.h"
#include "pipeline/tensor/codec.h"

namespace quantfleet::testing {

using pipeline::DType;
using pipeline::Family;
using pipeline::Hyperparameters;
using pipeline::ModelDescription;
using pipeline::Role;

using Rows = std::vector<std::vector<double>>;  // [row][column]

// Of a layer, or of the model beside its layers; what a family does not have is empty.
struct ReferenceWeights {
  std::map<Role, Rows> matrices;
  std::map<Role, std::vector<double>> vectors;

  const Rows& operator[](Role role) const { return matrices.at(role); }
  const std::vector<double>& vector(Role role) const {
    static const std::vector<double> none;
    const auto it = vectors.find(role);
    return it == vectors.end() ? none : it->second;
  }
};

struct ReferenceModel {
  ModelDescription description;
  Bytes file;                     // what a GGUF would hold, tensor after tensor
  std::vector<uint64_t> offsets;  // by tensor
  ReferenceWeights outer;
  std::vector<ReferenceWeights> layers;

  absl::StatusOr<engine::Weights> Map(const engine::VectorOps& ops) const {
    return engine::MapWeights(description, file, [&](size_t t) { return offsets[t]; }, ops);
  }
};

struct ReferenceOptions {
  std::string_view family = "phi3";  // Family::name
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
    model_.description.family = pipeline::FindFamily(options.family);
    model_.description.hyper = options.hyper;
    if (FindTensor(*model_.description.family, Role::kOutputHead) == nullptr) options_.tied = true;
    if (model_.description.family->experts) {
      Hyperparameters& h = model_.description.hyper;
      h.experts = 6, h.experts_used = 2, h.expert_width = 64;
    }
    model_.description.hyper.tied_embeddings = options_.tied;
    // Whatever scalars the family has, each another.
    Hyperparameters& h = model_.description.hyper;
    const Family& family = *model_.description.family;
    float value = family.scalars.empty() || !family.scalars[0].where_absent ? 0.4f : 4.f;
    for (const pipeline::FamilyScalar& scalar : family.scalars)
      h.*scalar.value = value, value += 0.75f * value;
    // Windows that a short text exceeds, and a base of their own.
    if (family.full_every == 0) return;
    if (h.full_every == 0) h.full_every = 2;
    if (h.sliding_window == 0) h.sliding_window = 5;
    if (family.sliding_rope_theta != 0) h.sliding_rope_theta = 300;
  }

  ReferenceModel Build() {
    const Hyperparameters& h = model_.description.hyper;
    const Family& family = *model_.description.family;
    model_.layers.resize(static_cast<size_t>(h.layers));
    std::vector<Part> fused;
    for (const auto& [role, layer, expert] : CanonicalPieces(family, h, /*optional=*/false)) {
      const pipeline::Shape shape = ShapeOf(h, role);
      if (shape.dims == 1) {
        At(layer).vectors[role] = Vector(role, layer, shape.cols);
        continue;
      }
      // A fused tensor is done with its last part, and one of experts with the last of them.
      fused.push_back({role, shape.rows});
      if (expert >= 0 && expert + 1 < h.experts) continue;
      const pipeline::FusedTensor* holds = family.writes_fused ? FindFused(family, role) : nullptr;
      if (holds != nullptr && holds->roles.back() != role) continue;
      const std::vector<Rows> rows = Matrices(fused, layer, shape.cols, Spread(role));
      for (size_t i = 0; i < rows.size(); ++i) {
        Rows& all = At(layer).matrices[fused[i].first];
        all.insert(all.end(), rows[i].begin(), rows[i].end());
      }
      fused.clear();
    }
    if (options_.tied) At(-1).matrices[Role::kOutputHead] = At(-1)[Role::kTokenEmbedding];
    return std::move(model_);
  }

 private:
  using Part = std::pair<Role, int64_t>;  // rows

  ReferenceWeights& At(int layer) {
    return layer < 0 ? model_.outer : model_.layers[static_cast<size_t>(layer)];
  }

  // So that attention is peaked and activations keep their size.
  static double Spread(Role role) {
    switch (role) {
      case Role::kTokenEmbedding:
        return 1.0;
      case Role::kOutputHead:
        return 0.3;
      case Role::kAttnQ:
      case Role::kAttnK:
      case Role::kAttnV:
        return 0.25;
      default:
        return 0.2;
    }
  }

  bool Interleaved(Role role) const {
    return RowOrderOf(*model_.description.family, pipeline::Dialect::kGguf, role) ==
           pipeline::RowOrder::kInterleaved;
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
    int expert = Info(parts.front().first).of_expert ? 0 : -1;
    const DType dtype = TypeOf(parts.front().first);
    const size_t tensor = model_.description.tensors.size();
    for (const auto& [role, rows] : parts) {
      result.push_back(Part1(role, rows, cols, spread, bytes));
      model_.description.pieces.push_back(
          {.role = role,
           .layer = layer,
           .rows = rows,
           .cols = cols,
           .dims = 2,
           .tensor = tensor,
           .first_row = first_row,
           .order = Interleaved(role) ? pipeline::RowOrder::kInterleaved : pipeline::RowOrder::kHf,
           .expert = expert});
      first_row += rows;
      if (expert >= 0) ++expert;
    }
    AddTensor(dtype, first_row, cols, expert < 0 ? 2 : 3, bytes);
    if (expert >= 0) model_.description.tensors.back().matrices = expert;
    return result;
  }

  // As files have it: a router is never quantized.
  DType TypeOf(Role role) const { return role == Role::kFfnRouter ? DType::kF32 : options_.dtype; }

  Rows Part1(Role role, int64_t rows, int64_t cols, double spread, Bytes& bytes) {
    const pipeline::Codec& codec = *pipeline::FindCodec(TypeOf(role));
    const auto row_bytes = static_cast<size_t>(RowBytes(TypeOf(role), cols));
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

  // Biases stand around 0, norms around 1, each kind elsewhere.
  std::vector<double> Vector(Role role, int layer, int64_t size) {
    float mean = 0, spread = 0.5f;
    if (role == Role::kAttnNorm) mean = 0.8f, spread = 0.2f;
    if (role == Role::kFfnNorm) mean = 1.1f, spread = 0.2f;
    if (role == Role::kAttnPostNorm) mean = 0.9f, spread = 0.3f;
    if (role == Role::kFfnPostNorm) mean = 1.2f, spread = 0.3f;
    if (role == Role::kOutputNorm) mean = 1, spread = 0.1f;
    if (role == Role::kAttnQNorm || role == Role::kAttnKNorm) mean = 1, spread = 0.3f;
    std::normal_distribution<float> normal(mean, spread);
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
  double theta = 0;  // 0: the model's
};

inline std::vector<double> Scaled(double factor, std::vector<double> x) {
  for (double& v : x) v *= factor;
  return x;
}

inline std::vector<double> Times(const Rows& w, const std::vector<double>& x) {
  std::vector<double> y;
  for (const auto& row : w) {
    double sum = 0;
    for (size_t i = 0; i < x.size(); ++i) sum += row[i] * x[i];
    y.push_back(sum);
  }
  return y;
}

// cap * tanh(x / cap); a cap of 0 changes nothing.
inline double CappedBy(double cap, double x) { return cap == 0 ? x : cap * std::tanh(x / cap); }

inline void AddTo(std::vector<double>& x, const std::vector<double>& y) {
  for (size_t i = 0; i < y.size(); ++i) x[i] += y[i];
}

// Told of what the weights of a layer are multiplied with, by tests that set it; `expert` is -1 for
// what is not of one.
inline std::function<void(const ReferenceWeights& l, Role weight, int expert,
                          const std::vector<double>& x)>
    on_reference_product = {};

// y = w x + b; no bias adds nothing.
inline std::vector<double> Linear(const ReferenceWeights& l, Role weight, Role bias,
                                  const std::vector<double>& x) {
  if (on_reference_product) on_reference_product(l, weight, -1, x);
  std::vector<double> y = Times(l[weight], x);
  AddTo(y, l.vector(bias));
  return y;
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

// As the family has it; `weight` and `bias` of a layer or of the whole.
inline std::vector<double> FamilyNorm(const Family& family, const ReferenceWeights& w, Role weight,
                                      Role bias, double epsilon, std::vector<double> x) {
  if (family.norm == pipeline::Norm::kLayer) {
    double mean = 0;
    for (double v : x) mean += v / static_cast<double>(x.size());
    for (double& v : x) v -= mean;
  }
  std::vector<double> y = RmsNorm(x, w.vector(weight), epsilon);
  AddTo(y, w.vector(bias));
  return y;
}

inline double FamilyActivation(const Family& family, double x) {
  if (family.activation == pipeline::Activation::kSilu) return x / (1 + std::exp(-x));
  return x / 2 * (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * std::pow(x, 3))));
}

inline std::vector<double> FeedForward(const Family& family, const ReferenceWeights& l,
                                       const std::vector<double>& x) {
  std::vector<double> up = Linear(l, Role::kFfnUp, Role::kFfnUpBias, x);
  if (l.matrices.contains(Role::kFfnGate)) {
    const std::vector<double> gate = Times(l[Role::kFfnGate], x);
    for (size_t i = 0; i < up.size(); ++i) up[i] *= FamilyActivation(family, gate[i]);
  } else {
    for (double& v : up) v = FamilyActivation(family, v);
  }
  return Linear(l, Role::kFfnDown, Role::kFfnDownBias, up);
}

inline double Gated(const Family& family, double gate, double up) {
  if (family.activation != pipeline::Activation::kClampedSwiglu)
    return FamilyActivation(family, gate) * up;
  gate = std::min(gate, 7.0);
  return (std::clamp(up, -7.0, 7.0) + 1) * gate / (1 + std::exp(-1.702 * gate));
}

// Weighs and adds what the best experts make of x.
inline std::vector<double> Experts(const Family& family, const ReferenceWeights& l,
                                   const Hyperparameters& h, const std::vector<double>& x) {
  const std::vector<double> scores = Linear(l, Role::kFfnRouter, Role::kFfnRouterBias, x);
  std::vector<size_t> order(scores.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::sort(order, [&](size_t a, size_t b) {
    return scores[a] != scores[b] ? scores[a] > scores[b] : a < b;
  });
  // Those whose scores share the weight of the place in the order.
  const bool mixer = family.experts->routing == pipeline::Routing::kSparseMixer;
  const auto total = [&](size_t place) {
    const double best = scores[order[place]];
    double sum = 0;
    for (size_t i = mixer ? place : 0; i < (mixer ? order.size() : size_t(h.experts_used)); ++i) {
      const double s = scores[order[i]];
      if (!mixer || (best - s) / std::max(std::abs(s), best) <= 0.02) sum += std::exp(s);
    }
    return sum;
  };
  const auto of = [&](Role role, size_t e, int64_t rows) {
    const auto begin = l[role].begin() + static_cast<std::ptrdiff_t>(e) * rows;
    return Rows(begin, begin + rows);
  };
  // What the expert's rows make of v, with its part of the bias.
  const auto made = [&](Role role, size_t e, int64_t rows, const std::vector<double>& v) {
    if (on_reference_product) on_reference_product(l, role, static_cast<int>(e), v);
    std::vector<double> y = Times(of(role, e, rows), v);
    const std::vector<double>& bias = l.vector(*Info(role).bias);
    for (size_t i = 0; i < y.size() && !bias.empty(); ++i) y[i] += bias[e * y.size() + i];
    return y;
  };
  std::vector<double> sum(x.size(), 0);
  for (size_t place = 0; place < static_cast<size_t>(h.experts_used); ++place) {
    const size_t e = order[place];
    std::vector<double> up = made(Role::kFfnUpExpert, e, h.expert_width, x);
    const std::vector<double> gate = made(Role::kFfnGateExpert, e, h.expert_width, x);
    for (size_t i = 0; i < up.size(); ++i) up[i] = Gated(family, gate[i], up[i]);
    AddTo(sum,
          Scaled(std::exp(scores[e]) / total(place), made(Role::kFfnDownExpert, e, h.hidden, up)));
  }
  return sum;
}

inline void RotateHalves(std::vector<double>& heads, const Hyperparameters& h,
                         const ReferenceRope& rope, size_t at) {
  const size_t half = static_cast<size_t>(h.rope_dims) / 2, dim = static_cast<size_t>(h.head_dim);
  for (size_t head = 0; head * dim < heads.size(); ++head) {
    for (size_t i = 0; i < half; ++i) {
      double frequency = std::pow(rope.theta != 0 ? rope.theta : double{h.rope_theta},
                                  -static_cast<double>(i) / static_cast<double>(half));
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

// Each head by itself; no weight leaves them as they are.
inline void NormHeads(std::vector<double>& heads, const std::vector<double>& weight,
                      const Hyperparameters& h) {
  if (weight.empty()) return;
  const auto dim = static_cast<std::ptrdiff_t>(h.head_dim);
  for (auto head = heads.begin(); head != heads.end(); head += dim)
    std::ranges::copy(RmsNorm({head, head + dim}, weight, h.norm_epsilon), head);
}

// Behind the norm that the part's result has in this family, if it has one.
inline std::vector<double> PostNorm(const ReferenceWeights& l, Role role, double epsilon,
                                    const std::vector<double>& x) {
  return l.vector(role).empty() ? x : RmsNorm(x, l.vector(role), epsilon);
}

// The residual stream of every token after one layer.
inline void RunReferenceLayer(const Family& family, int64_t layer, const ReferenceWeights& l,
                              const Hyperparameters& h, const ReferenceRope& full_rope, Rows& xs) {
  const bool slides = h.full_every > 0 && layer % h.full_every != h.full_every - 1;
  const ReferenceRope sliding_rope{{}, 1, h.sliding_rope_theta};
  const ReferenceRope& rope = slides && h.sliding_rope_theta != 0 ? sliding_rope : full_rope;
  const bool turns =
      family.unturned_every == 0 || layer % family.unturned_every != family.unturned_every - 1;
  const double scale = h.attention_scale != 0 ? static_cast<double>(h.attention_scale)
                                              : 1 / std::sqrt(static_cast<double>(h.head_dim));
  Rows qs, ks, vs, norms;
  const size_t dim = static_cast<size_t>(h.head_dim),
               group = static_cast<size_t>(h.heads / h.kv_heads);
  for (size_t t = 0; t < xs.size(); ++t) {
    const std::vector<double> n =
        FamilyNorm(family, l, Role::kAttnNorm, Role::kAttnNormBias, h.norm_epsilon, xs[t]);
    norms.push_back(n);
    qs.push_back(Linear(l, Role::kAttnQ, Role::kAttnQBias, n));
    ks.push_back(Linear(l, Role::kAttnK, Role::kAttnKBias, n));
    vs.push_back(Linear(l, Role::kAttnV, Role::kAttnVBias, n));
    NormHeads(qs[t], l.vector(Role::kAttnQNorm), h),
        NormHeads(ks[t], l.vector(Role::kAttnKNorm), h);
    if (turns) RotateHalves(qs[t], h, rope, t), RotateHalves(ks[t], h, rope, t);
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
        const bool seen = !slides || t - s < static_cast<size_t>(h.sliding_window);
        weight.push_back(seen ? std::exp(CappedBy(h.score_cap, score * scale)) : 0);
        total += weight.back();
      }
      if (const std::vector<double>& sinks = l.vector(Role::kAttnSinks); !sinks.empty())
        total += std::exp(sinks[head]);
      for (size_t s = 0; s <= t; ++s) {
        for (size_t i = 0; i < dim; ++i) mixed[q0 + i] += weight[s] / total * vs[s][k0 + i];
      }
    }
    AddTo(xs[t], Scaled(h.residual_scale,
                        PostNorm(l, Role::kAttnPostNorm, h.norm_epsilon,
                                 Linear(l, Role::kAttnOutput, Role::kAttnOutputBias, mixed))));
    const std::vector<double> n =
        family.residual == pipeline::Residual::kParallel
            ? norms[t]
            : FamilyNorm(family, l, Role::kFfnNorm, Role::kFfnNormBias, h.norm_epsilon, xs[t]);
    AddTo(xs[t], Scaled(h.residual_scale, PostNorm(l, Role::kFfnPostNorm, h.norm_epsilon,
                                                   family.experts ? Experts(family, l, h, n)
                                                                  : FeedForward(family, l, n))));
  }
}

// Logits of every token.
inline Rows ReferenceLogits(const ReferenceModel& model, const ReferenceRope& rope,
                            const std::vector<int32_t>& ids) {
  const Hyperparameters& h = model.description.hyper;
  const Family& family = *model.description.family;
  const double scale = family.scales_embedding_by_root ? std::sqrt(static_cast<double>(h.hidden))
                                                       : static_cast<double>(h.embedding_scale);
  Rows xs;
  for (int32_t id : ids)
    xs.push_back(Scaled(scale, model.outer[Role::kTokenEmbedding][static_cast<size_t>(id)]));
  for (size_t i = 0; i < model.layers.size(); ++i)
    RunReferenceLayer(family, static_cast<int64_t>(i), model.layers[i], h, rope, xs);
  Rows logits;
  for (const auto& x : xs) {
    logits.push_back(Scaled(1.0 / h.logit_divisor,
                            Linear(model.outer, Role::kOutputHead, Role::kOutputHeadBias,
                                   FamilyNorm(family, model.outer, Role::kOutputNorm,
                                              Role::kOutputNormBias, h.norm_epsilon, x))));
    for (double& logit : logits.back()) logit = CappedBy(h.logit_cap, logit);
  }
  return logits;
}

}  // namespace quantfleet::testing
