#include "engine/decode/transformer.h"

#include <algorithm>

#include "engine/decode/grain.h"
#include "engine/decode/steps.h"
#include "pipeline/model/rope.h"

namespace quantfleet::engine {
namespace {

using pipeline::Role;

}  // namespace

absl::StatusOr<std::unique_ptr<Transformer>> Transformer::Create(
    const pipeline::Hyperparameters& hyper, Weights weights, int64_t context, ThreadPool& pool,
    const VectorOps& ops, const MatrixOps* matrix_ops) {
  if (weights.family == nullptr) return Internal("weights of no family");
  QF_ASSIGN_OR_RETURN(Rope rope, Rope::Create(hyper, context, weights.interleaved_rope));
  std::optional<Rope> sliding_rope;
  if (hyper.sliding_rope_theta != 0) {
    QF_ASSIGN_OR_RETURN(sliding_rope, Rope::Create(pipeline::AsSlidingLayersTurn(hyper), context,
                                                   weights.interleaved_rope));
  }
  return std::unique_ptr<Transformer>(new Transformer(hyper, std::move(weights), std::move(rope),
                                                      std::move(sliding_rope), context, pool, ops,
                                                      matrix_ops));
}

// The buffers are those that pipeline/model/running_memory.cc counts.
Transformer::Transformer(const pipeline::Hyperparameters& hyper, Weights weights, Rope rope,
                         std::optional<Rope> sliding_rope, int64_t context, ThreadPool& pool,
                         const VectorOps& ops, const MatrixOps* matrix_ops)
    : family_(*weights.family),
      hyper_(hyper),
      weights_(std::move(weights)),
      rope_(std::move(rope)),
      sliding_rope_(std::move(sliding_rope)),
      context_(context),
      pool_(pool),
      ops_(ops),
      matrix_ops_(matrix_ops),
      // The reference's sums do not depend on how rows are cut into calls; those of a set do not
      // either, row by row.
      attention_ops_(&ops == &ScalarOps() ? ScalarAttentionOps() : ChosenAttentionOps()) {
  const int64_t batch = family_.encoder ? context : std::min(kBatch, context);
  places_.resize(static_cast<size_t>(batch));
  const auto rows = [&](std::vector<float>& buffer, int64_t width) {
    buffer.resize(static_cast<size_t>(batch * width));
  };
  for (std::vector<float>* b : {&x_, &normed_, &added_}) rows(*b, hyper.hidden);
  for (std::vector<float>* b : {&q_, &attended_}) rows(*b, hyper.heads * hyper.head_dim);
  for (std::vector<float>* b : {&k_, &v_}) rows(*b, hyper.kv_heads * hyper.head_dim);
  if (hyper.experts > 0) {
    MakeRoomForExperts(batch);
  } else {
    for (std::vector<float>* b : {&gate_, &up_}) rows(*b, hyper.intermediate);
  }
  rows(angles_, hyper.rope_dims);
  if (sliding_rope_) rows(sliding_angles_, hyper.rope_dims);
  scratch_floats_ = ScratchFloats(hyper.head_dim);
  scratch_.resize(static_cast<size_t>(pool.threads() * scratch_floats_));
  const int64_t places = batch * std::max<int64_t>(1, hyper.experts_used);
  rows_.resize(static_cast<size_t>(places));
  if (matrix_ops == nullptr) return;
  const auto units = [](int64_t width) {
    return (width + kActivationUnit - 1) / kActivationUnit * kActivationUnit;
  };
  const int64_t widest = std::max(
      {hyper.hidden, hyper.heads * hyper.head_dim, hyper.experts > 0 ? 0 : hyper.intermediate});
  const int64_t codes = std::max(batch * units(widest), places * units(hyper.expert_width));
  codes_.resize(static_cast<size_t>(codes));
  code_scales_.resize(static_cast<size_t>(codes / kActivationBlock));
  code_sums_.resize(code_scales_.size());
  code_half_sums_.resize(2 * code_scales_.size());
}

absl::Status Transformer::CheckTokens(std::span<const int32_t> tokens) const {
  for (int32_t token : tokens) {
    if (token < 0 || token >= hyper_.vocab)
      return InvalidArgument("token id {} is outside the vocabulary of {}", token, hyper_.vocab);
  }
  return absl::OkStatus();
}

absl::Status Transformer::Check(const KvCache& cache, std::span<const int32_t> tokens) const {
  QF_RETURN_IF_ERROR(CheckTokens(tokens));
  const int64_t count = static_cast<int64_t>(tokens.size());
  if (count > cache.capacity() - cache.length())
    return InvalidArgument("{} tokens do not fit into the context of {}, of which {} are in use",
                           count, cache.capacity(), cache.length());
  return absl::OkStatus();
}

absl::Status Transformer::Run(KvCache& cache, std::span<const int32_t> tokens, Want want,
                              std::vector<float>& logits) {
  QF_RETURN_IF_ERROR(Check(cache, tokens));
  const int64_t count = static_cast<int64_t>(tokens.size());
  const int64_t wanted = want == Want::kAll    ? count
                         : want == Want::kLast ? std::min<int64_t>(count, 1)
                                               : 0;
  logits.resize(static_cast<size_t>(wanted * hyper_.vocab));
  return RunBatches(cache, tokens, [&](int64_t first, int64_t batch) {
    if (want == Want::kAll)
      Head(x_.data(), batch, logits.data() + first * hyper_.vocab);
    else if (want == Want::kLast && first + batch == count)
      Head(x_.data() + (batch - 1) * hyper_.hidden, 1, logits.data());
    return absl::OkStatus();
  });
}

absl::Status Transformer::RunEach(
    KvCache& cache, std::span<const int32_t> tokens,
    absl::FunctionRef<absl::Status(int64_t, std::span<const float>)> visit) {
  QF_RETURN_IF_ERROR(Check(cache, tokens));
  const auto width = static_cast<size_t>(hyper_.vocab);
  const auto count = static_cast<int64_t>(tokens.size());
  std::vector<float> logits(static_cast<size_t>(std::min(kJudged, count)) * width);
  return RunBatches(cache, tokens, [&](int64_t first, int64_t batch) {
    for (int64_t row = 0; row < batch; row += kJudged) {
      const int64_t some = std::min(kJudged, batch - row);
      Head(x_.data() + row * hyper_.hidden, some, logits.data());
      for (int64_t i = 0; i < some; ++i)
        QF_RETURN_IF_ERROR(visit(first + row + i,
                                 std::span(logits).subspan(static_cast<size_t>(i) * width, width)));
    }
    return absl::OkStatus();
  });
}

absl::Status Transformer::RunHidden(
    KvCache& cache, std::span<const int32_t> tokens,
    absl::FunctionRef<void(int64_t, std::span<const float>)> visit) {
  QF_RETURN_IF_ERROR(Check(cache, tokens));
  const auto width = static_cast<size_t>(hyper_.hidden);
  const auto count = static_cast<int64_t>(tokens.size());
  if (family_.encoder) {
    if (cache.length() > 0 || count > context_)
      return InvalidArgument("an encoder takes whole sequences of at most {} tokens", context_);
    RunEncoder(cache, tokens);
    cache.Grow(count);
    for (int64_t i = 0; i < count; ++i)
      visit(i, std::span(x_).subspan(static_cast<size_t>(i) * width, width));
    return absl::OkStatus();
  }
  return RunBatches(cache, tokens, [&](int64_t first, int64_t batch) {
    Normalize(weights_.outer, Role::kOutputNorm, x_.data(), normed_.data(), batch);
    for (int64_t i = 0; i < batch; ++i)
      visit(first + i, std::span(normed_).subspan(static_cast<size_t>(i) * width, width));
    return absl::OkStatus();
  });
}

absl::Status Transformer::RunBatches(KvCache& cache, std::span<const int32_t> tokens,
                                     absl::FunctionRef<absl::Status(int64_t, int64_t)> then) {
  const auto count = static_cast<int64_t>(tokens.size());
  for (int64_t first = 0; first < count; first += kBatch) {
    const int64_t batch = std::min(kBatch, count - first);
    RunBatch(cache, tokens.subspan(static_cast<size_t>(first), static_cast<size_t>(batch)));
    cache.Grow(batch);
    QF_RETURN_IF_ERROR(then(first, batch));
  }
  return absl::OkStatus();
}

void Transformer::RunBatch(KvCache& cache, std::span<const int32_t> tokens) {
  apart_ = false;
  const auto batch = static_cast<int64_t>(tokens.size());
  cache.MakeRoom(batch);
  for (int64_t row = 0; row < batch; ++row)
    SetRow(row, cache, cache.length() + row, tokens[static_cast<size_t>(row)]);
  RunLayers(batch);
}

absl::Status Transformer::RunTogether(std::span<const Next> sequences, std::vector<float>& logits) {
  const auto count = static_cast<int64_t>(sequences.size());
  if (count > kBatch)
    return InvalidArgument("{} sequences in one pass; the maximum is {}", count, kBatch);
  for (const Next& next : sequences)
    QF_RETURN_IF_ERROR(Check(*next.cache, std::span(&next.token, 1)));
  logits.resize(static_cast<size_t>(count * hyper_.vocab));
  apart_ = true;
  for (const Next& next : sequences) next.cache->MakeRoom(1);
  for (int64_t row = 0; row < count; ++row)
    SetRow(row, *sequences[row].cache, sequences[row].cache->length(), sequences[row].token);
  RunLayers(count);
  Head(x_.data(), count, logits.data());
  for (const Next& next : sequences) next.cache->Grow(1);
  return absl::OkStatus();
}

void Transformer::SetRow(int64_t row, const KvCache& cache, int64_t position, int32_t token) {
  EmbedToken(token, x_.data() + row * hyper_.hidden);
  SetPlace(row, cache, position);
}

void Transformer::EmbedToken(int32_t token, float* x) const {
  const Matrix& embedding = weights_.embedding;
  embedding.decode(embedding.row(token), hyper_.hidden, x);
  Scale(EmbeddingScale(family_, hyper_), {x, static_cast<size_t>(hyper_.hidden)});
}

void Transformer::SetPlace(int64_t row, const KvCache& cache, int64_t position) {
  rope_.Angles(position, angles_.data() + row * rope_.dims());
  if (sliding_rope_) sliding_rope_->Angles(position, sliding_angles_.data() + row * rope_.dims());
  places_[row] = {&cache, position};
}

// Leaves the hidden states before the output norm in x_.
void Transformer::RunLayers(int64_t batch) {
  for (int layer = 0; layer < hyper_.layers; ++layer) RunLayer(layer, batch);
}

void Transformer::Head(const float* x, int64_t batch, float* logits) {
  Normalize(weights_.outer, Role::kOutputNorm, x, normed_.data(), batch);
  Multiply(
      {{Role::kOutputHead, &weights_.head, &weights_.outer.vector(Role::kOutputHeadBias), logits}},
      normed_.data(), batch);
  Scale(1 / hyper_.logit_divisor, {logits, static_cast<size_t>(batch * hyper_.vocab)});
  if (hyper_.logit_cap == 0) return;
  pool_.ParallelFor(batch * hyper_.vocab, kWorthAThread / 16, [&](int64_t begin, int64_t end) {
    Cap(hyper_.logit_cap, {logits + begin, logits + end});
  });
}

void Transformer::RunLayer(int layer, int64_t batch) {
  const LayerWeights& w = weights_.layers[layer];
  const auto product = [&](Role weight, std::vector<float>& y) {
    const std::optional<Role> bias = Info(weight).bias;
    return Product{weight, &w.matrix(weight), bias ? &w.vector(*bias) : nullptr, y.data()};
  };

  Normalize(w, Role::kAttnNorm, x_.data(), normed_.data(), batch);
  Multiply({product(Role::kAttnQ, q_), product(Role::kAttnK, k_), product(Role::kAttnV, v_)},
           normed_.data(), batch);
  const int64_t hidden = batch * hyper_.hidden, queries = batch * hyper_.heads * hyper_.head_dim,
                keys = batch * hyper_.kv_heads * hyper_.head_dim;
  Show(Step::kAttnNorm, normed_.data(), hidden);
  Show(Step::kQueries, q_.data(), queries);
  Show(Step::kKeys, k_.data(), keys);
  Show(Step::kValues, v_.data(), keys);
  StoreKeysAndValues(layer, batch);
  if (on_step_ != nullptr) ShowAttention(layer, batch);
  Attend(layer, batch);
  Show(Step::kHeads, attended_.data(), queries);
  Multiply({product(Role::kAttnOutput, added_)}, attended_.data(), batch);
  Show(Step::kAttnOutput, added_.data(), hidden);
  Join(w, Role::kAttnPostNorm, batch);
  Show(Step::kAttnResidual, x_.data(), hidden);

  // Parts that run side by side read the same norm.
  if (family_.residual == pipeline::Residual::kSequential) {
    Normalize(w, Role::kFfnNorm, x_.data(), normed_.data(), batch);
    Show(Step::kFfnNorm, normed_.data(), hidden);
  }
  if (family_.experts) {
    RunExperts(layer, batch);
    Show(Step::kExperts, added_.data(), hidden);
    Join(w, Role::kFfnPostNorm, batch);
    return Show(Step::kFfnResidual, x_.data(), hidden);
  }
  const bool gated = w.matrix(Role::kFfnGate).rows > 0;
  if (gated) {
    Multiply({product(Role::kFfnGate, gate_), product(Role::kFfnUp, up_)}, normed_.data(), batch);
  } else {
    Multiply({product(Role::kFfnUp, gate_)}, normed_.data(), batch);
  }
  const int64_t intermediate = batch * hyper_.intermediate;
  if (gated) Show(Step::kGate, gate_.data(), intermediate);
  Show(Step::kUp, gated ? up_.data() : gate_.data(), intermediate);
  pool_.ParallelFor(intermediate, kWorthAThread / 16, [&](int64_t begin, int64_t end) {
    Activate(family_.activation,
             std::span(gate_).subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin)),
             gated ? up_.data() + begin : nullptr);
  });
  Show(Step::kActivated, gate_.data(), intermediate);
  Multiply({product(Role::kFfnDown, added_)}, gate_.data(), batch);
  Show(Step::kDown, added_.data(), hidden);
  Join(w, Role::kFfnPostNorm, batch);
  Show(Step::kFfnResidual, x_.data(), hidden);
}

void Transformer::Join(const LayerWeights& w, Role role, int64_t batch) {
  if (!w.vector(role).empty()) {
    Normalize(w, role, added_.data(), added_.data(), batch);
    Show(role == Role::kAttnPostNorm ? Step::kAttnPostNorm : Step::kFfnPostNorm, added_.data(),
         batch * hyper_.hidden);
  }
  AddScaled(hyper_.residual_scale, {added_.data(), static_cast<size_t>(batch * hyper_.hidden)},
            x_.data());
}

void Transformer::Normalize(const LayerWeights& w, Role role, const float* x, float* out,
                            int64_t rows) const {
  NormOf norm{family_.norm, w.vector(role), {}, hyper_.norm_epsilon};
  if (const std::optional<Role> bias = Info(role).bias) norm.bias = w.vector(*bias);
  engine::Normalize(ops_, norm, x, out, rows);
}

MultiplyRows Transformer::FindMultiply(pipeline::DType type) const {
  if (matrix_ops_ == nullptr) return nullptr;
  return apart_ ? matrix_ops_->multiply_apart(type) : matrix_ops_->multiply(type);
}

bool Transformer::AsIntegers(const Matrix& w) const {
  return FindMultiply(w.type) != nullptr && TakesIntegers(w.type);
}

void Transformer::Prepare(int64_t cols, const float* x, int64_t batch, bool integers) {
  if (integers) return Quantize(cols, x, batch);
  for (int64_t t = 0; t < batch; ++t) rows_[t] = {x + t * cols, nullptr, nullptr, nullptr, nullptr};
}

void Transformer::Quantize(int64_t cols, const float* x, int64_t batch) {
  const int64_t width = (cols + kActivationUnit - 1) / kActivationUnit * kActivationUnit;
  pool_.ParallelFor(batch, Grain(cols), [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const int64_t block = t * width / kActivationBlock;
      matrix_ops_->quantize(x + t * cols, cols, codes_.data() + t * width,
                            code_scales_.data() + block, code_sums_.data() + block,
                            code_half_sums_.data() + 2 * block);
      rows_[t] = {x + t * cols, codes_.data() + t * width, code_scales_.data() + block,
                  code_sums_.data() + block, code_half_sums_.data() + 2 * block};
    }
  });
}

void Transformer::Multiply(std::initializer_list<Product> products, const float* x, int64_t batch) {
  int64_t rows = 0;
  bool integers = false;
  for (const Product& product : products) {
    rows += product.w->rows;
    integers = integers || AsIntegers(*product.w);
  }
  const int64_t cols = products.begin()->w->cols;
  Prepare(cols, x, batch, integers);
  const std::span<const ActivationRow> taken = std::span(rows_).first(static_cast<size_t>(batch));
  Tell(products, /*expert=*/-1, taken);
  // One loop over the rows of all: fewer meetings of the threads.
  pool_.ParallelFor(rows, Grain(cols * batch), [&](int64_t begin, int64_t end) {
    int64_t first = 0;
    for (const Product& product : products) {
      const int64_t from = std::max<int64_t>(begin - first, 0),
                    to = std::min(end - first, product.w->rows);
      if (from < to) MultiplyRange(product, from, to, taken);
      first += product.w->rows;
    }
  });
}

void Transformer::MultiplyRange(const Product& product, int64_t begin, int64_t end,
                                std::span<const ActivationRow> x) {
  const Matrix& w = *product.w;
  if (const MultiplyRows multiply = FindMultiply(w.type); multiply != nullptr) {
    multiply(w.row(begin), w.row_bytes, end - begin, w.cols, x, product.y + begin, w.rows);
  } else {
    MultiplyDecoded(product, begin, end, x);
  }
  if (product.bias == nullptr || product.bias->empty()) return;
  for (int64_t t = 0; t < static_cast<int64_t>(x.size()); ++t) {
    for (int64_t r = begin; r < end; ++r) product.y[t * w.rows + r] += (*product.bias)[r];
  }
}

void Transformer::MultiplyDecoded(const Product& product, int64_t begin, int64_t end,
                                  std::span<const ActivationRow> x) {
  const Matrix& w = *product.w;
  const auto batch = static_cast<int64_t>(x.size());
  // Many tokens share one decoding of the row; the sum is the same either way (vector_ops.h).
  const bool decode = batch > 1 && !w.is_f32();
  std::vector<float> decoded(decode ? static_cast<size_t>(w.cols) : 0);
  const RowDot dot = decode ? ops_.row_dot(pipeline::DType::kF32) : w.dot;
  for (int64_t r = begin; r < end; ++r) {
    const std::byte* row = w.row(r);
    if (decode) {
      w.decode(row, w.cols, decoded.data());
      row = reinterpret_cast<const std::byte*>(decoded.data());
    }
    for (int64_t t = 0; t < batch; ++t) product.y[t * w.rows + r] = dot(row, x[t].values, w.cols);
  }
}

}  // namespace quantfleet::engine
