// The transformer a layer at a time: sequences' states are the caller's, so that many of them can
// go through one layer before the next one's weights are read.
#include <algorithm>
#include <cmath>
#include <utility>

#include "engine/decode/grain.h"
#include "engine/decode/transformer.h"

namespace quantfleet::engine {
namespace {

// Points to a value as long as it lives.
template <typename T>
class Lent {
 public:
  Lent(const T*& place, const T& value) : place_(place) { place_ = &value; }
  ~Lent() { place_ = nullptr; }
  Lent(const Lent&) = delete;
  Lent& operator=(const Lent&) = delete;

 private:
  const T*& place_;
};

}  // namespace

absl::Status Transformer::Embed(std::span<const int32_t> tokens, std::span<float> states) const {
  QF_RETURN_IF_ERROR(CheckTokens(tokens));
  const auto width = static_cast<size_t>(hyper_.hidden);
  if (states.size() != tokens.size() * width)
    return Internal("{} values for the states of {} tokens", states.size(), tokens.size());
  for (size_t i = 0; i < tokens.size(); ++i) EmbedToken(tokens[i], states.data() + i * width);
  return absl::OkStatus();
}

absl::Status Transformer::RunThroughLayer(int layer, KvCache& cache, std::span<float> states,
                                          OnInput on_input) {
  const auto width = static_cast<size_t>(hyper_.hidden);
  const auto count = static_cast<int64_t>(states.size() / width);
  if (family_.encoder) return InvalidArgument("an encoder does not run layer by layer");
  if (layer < 0 || layer >= hyper_.layers)
    return InvalidArgument("the model has layers 0 to {}, not {}", hyper_.layers - 1, layer);
  cache.Reset();
  if (count > cache.capacity())
    return InvalidArgument("{} tokens do not fit into the context of {}", count, cache.capacity());
  apart_ = false;
  const Lent lent(on_input_, on_input);
  for (int64_t first = 0; first < count; first += kBatch) {
    const int64_t batch = std::min(kBatch, count - first);
    const std::span<float> some =
        states.subspan(static_cast<size_t>(first) * width, static_cast<size_t>(batch) * width);
    cache.MakeRoom(batch);
    for (int64_t row = 0; row < batch; ++row) SetPlace(row, cache, first + row);
    std::ranges::copy(some, x_.begin());
    RunLayer(layer, batch);
    std::copy_n(x_.begin(), some.size(), some.begin());
    if (on_step_ != nullptr && layer + 1 == hyper_.layers) ShowHead(batch);
    cache.Grow(batch);
  }
  return absl::OkStatus();
}

absl::Status Transformer::RunThroughLayer(int layer, KvCache& cache, std::span<float> states,
                                          OnInput on_input, OnStep on_step) {
  shown_keys_.clear();
  const Lent lent(on_step_, on_step);
  return RunThroughLayer(layer, cache, states, on_input);
}

void Transformer::ShowAttention(int layer, int64_t batch) {
  const int64_t dim = hyper_.head_dim, heads = hyper_.heads, width = hyper_.kv_heads * dim,
                group = heads / hyper_.kv_heads, window = WindowOf(hyper_, layer);
  Show(Step::kTurnedQueries, q_.data(), batch * heads * dim);
  Show(Step::kTurnedKeys, k_.data(), batch * width);
  shown_keys_.insert(shown_keys_.end(), k_.begin(), k_.begin() + batch * width);
  const RowDot dot = ops_.row_dot(pipeline::DType::kF32);
  const float scale = 1 / std::sqrt(static_cast<float>(dim));
  std::vector<float> scores;
  for (int64_t t = 0; t < batch; ++t) {
    const int64_t reach = places_[t].position + 1,
                  first = window > 0 ? std::max<int64_t>(0, reach - window) : 0,
                  seen = reach - first;
    scores.resize(static_cast<size_t>(heads * seen));
    pool_.ParallelFor(heads * seen, Grain(dim), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t head = i / seen, position = first + i % seen;
        const float* key = shown_keys_.data() + position * width + head / group * dim;
        scores[static_cast<size_t>(i)] = scale * dot(reinterpret_cast<const std::byte*>(key),
                                                     q_.data() + (t * heads + head) * dim, dim);
      }
    });
    Show(Step::kScores, scores.data(), heads * seen);
  }
}

// A few tokens at a time, as the vocabulary is wide.
void Transformer::ShowHead(int64_t batch) {
  // Of the head's input on_input_ is told elsewhere, if at all.
  const OnInput* const told = std::exchange(on_input_, nullptr);
  std::vector<float> logits(static_cast<size_t>(std::min(kJudged, batch) * hyper_.vocab));
  for (int64_t row = 0; row < batch; row += kJudged) {
    const int64_t some = std::min(kJudged, batch - row);
    Head(x_.data() + row * hyper_.hidden, some, logits.data());
    Show(Step::kOutputNorm, normed_.data(), some * hyper_.hidden);
    Show(Step::kLogits, logits.data(), some * hyper_.vocab);
  }
  on_input_ = told;
}

absl::Status Transformer::JudgeStates(
    std::span<const float> states,
    absl::FunctionRef<absl::Status(int64_t, std::span<const float>)> visit) {
  const auto vocab = static_cast<size_t>(hyper_.vocab), width = static_cast<size_t>(hyper_.hidden);
  const auto count = static_cast<int64_t>(states.size() / width);
  const int64_t each = std::min(kJudged, context_);
  std::vector<float> logits(static_cast<size_t>(each) * vocab);
  for (int64_t row = 0; row < count; row += each) {
    const int64_t some = std::min(each, count - row);
    Head(states.data() + static_cast<size_t>(row) * width, some, logits.data());
    for (int64_t i = 0; i < some; ++i)
      QF_RETURN_IF_ERROR(
          visit(row + i, std::span(logits).subspan(static_cast<size_t>(i) * vocab, vocab)));
  }
  return absl::OkStatus();
}

const Matrix& Transformer::matrix(pipeline::Role role, int layer) const {
  if (role == pipeline::Role::kTokenEmbedding) return weights_.embedding;
  if (role == pipeline::Role::kOutputHead) return weights_.head;
  return layer < 0 ? weights_.outer.matrix(role)
                   : weights_.layers[static_cast<size_t>(layer)].matrix(role);
}

void Transformer::Replace(pipeline::Role role, int layer, const Matrix& matrix) {
  if (role == pipeline::Role::kTokenEmbedding) {
    if (weights_.head.data == weights_.embedding.data) weights_.head = matrix;
    weights_.embedding = matrix;
  } else if (role == pipeline::Role::kOutputHead) {
    weights_.head = matrix;
  } else if (layer < 0) {
    weights_.outer.matrix(role) = matrix;
  } else {
    weights_.layers[static_cast<size_t>(layer)].matrix(role) = matrix;
  }
}

}  // namespace quantfleet::engine
