// The transformer's attention: heads of q and k normed, turned and stored, and the rows of a batch
// attended to, in blocks or in parts.
#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/decode/grain.h"
#include "engine/decode/steps.h"
#include "engine/decode/transformer.h"

namespace quantfleet::engine {
namespace {

using pipeline::Role;

// Rows of one sequence below which a block of queries does not pay in attention.
constexpr int64_t kWorthABlock = 8;

// A long sequence's attention is cut so that each pass has about kItems pieces of work, whatever
// the number of threads, but none of fewer positions than kLeastRange.
constexpr int64_t kItems = 64, kLeastRange = 256;
// Floats of partial results that are held at once, unless one row has more.
constexpr int64_t kPartials = 256 << 10;

// Positions of each range, that of the last may be less.
int64_t RangeLength(int64_t reach, int64_t kv_heads) {
  const int64_t most = std::max<int64_t>(1, kItems / kv_heads), even = (reach + most - 1) / most;
  return (std::max(even, kLeastRange) + kLeastRange - 1) / kLeastRange * kLeastRange;
}

}  // namespace

HeadCache Transformer::Cache(int64_t row, int layer, int64_t kv_head) const {
  const KvCache& cache = *places_[row].cache;
  return {cache.Keys(layer, kv_head), cache.Values(layer, kv_head),
          cache.row_bytes(),          hyper_.head_dim,
          WindowOf(hyper_, layer),    hyper_.score_cap};
}

void Transformer::StoreKeysAndValues(int layer, int64_t batch) {
  const int64_t dim = hyper_.head_dim, kv_heads = hyper_.kv_heads;
  const LayerWeights& w = weights_.layers[layer];
  // The kernels of attention have 1 / sqrt(dim) in them.
  const float scale = hyper_.attention_scale == 0
                          ? 1.f
                          : hyper_.attention_scale * std::sqrt(static_cast<float>(dim));
  const bool turns = TurnsLayer(family_, layer);
  const bool other_base = sliding_rope_ && WindowOf(hyper_, layer) > 0;
  const Rope& rope = other_base ? *sliding_rope_ : rope_;
  const float* all_angles = other_base ? sliding_angles_.data() : angles_.data();
  const bool q_norm = !w.vector(Role::kAttnQNorm).empty(),
             k_norm = !w.vector(Role::kAttnKNorm).empty();
  pool_.ParallelFor(
      batch, Grain(8 * (hyper_.heads + 2 * kv_heads) * dim), [&](int64_t begin, int64_t end) {
        for (int64_t t = begin; t < end; ++t) {
          const auto [cache, position] = places_[t];
          const int64_t row = position - cache->First(layer);
          const float* angles = all_angles + t * rope.dims();
          float* queries = q_.data() + t * hyper_.heads * dim;
          float* keys = k_.data() + t * kv_heads * dim;
          const float* values = v_.data() + t * kv_heads * dim;
          if (q_norm) Normalize(w, Role::kAttnQNorm, queries, queries, hyper_.heads);
          if (k_norm) Normalize(w, Role::kAttnKNorm, keys, keys, kv_heads);
          if (turns) rope.Turn(angles, hyper_.heads, dim, queries);
          if (turns) rope.Turn(angles, kv_heads, dim, keys);
          Scale(scale, {queries, static_cast<size_t>(hyper_.heads * dim)});
          const auto store = attention_ops_.find(cache->type())->store;
          for (int64_t h = 0; h < kv_heads; ++h) {
            store(keys + h * dim, dim, cache->Keys(layer, h) + row * cache->row_bytes());
            store(values + h * dim, dim, cache->Values(layer, h) + row * cache->row_bytes());
          }
        }
      });
}

void Transformer::Attend(int layer, int64_t batch) {
  if (!apart_ && !family_.encoder && matrix_ops_ != nullptr && batch >= kWorthABlock)
    return AttendBlocks(layer, batch);
  const int64_t floats = hyper_.heads * PartialFloats(hyper_.head_dim);  // of a part
  for (int64_t row = 0; row < batch;) {
    parts_.clear();
    const auto taken = [&] { return static_cast<int64_t>(parts_.size()) * floats; };
    for (; row < batch && taken() < kPartials; ++row) {
      const int64_t reach = family_.encoder ? batch : places_[row].position + 1;
      const int64_t window = WindowOf(hyper_, layer);
      const int64_t first = window > 0 ? std::max<int64_t>(0, reach - window) : 0;
      const int64_t length = RangeLength(reach - first, hyper_.kv_heads);
      for (int64_t begin = first; begin < reach; begin += length)
        parts_.push_back({row, begin, std::min(reach, begin + length), begin == first});
    }
    if (static_cast<int64_t>(partials_.size()) < taken())
      partials_.resize(static_cast<size_t>(taken()));
    AttendParts(layer);
  }
}

// Rows of one sequence, so many of them at a time.
void Transformer::AttendBlocks(int layer, int64_t batch) {
  const std::vector<float>& sinks = weights_.layers[layer].vector(Role::kAttnSinks);
  const int64_t dim = hyper_.head_dim, width = hyper_.heads * dim,
                group = hyper_.heads / hyper_.kv_heads;
  const KvCache& cache = *places_[0].cache;
  const int64_t window = WindowOf(hyper_, layer), first = cache.First(layer);
  const int64_t blocks = (batch + kMaxTogether - 1) / kMaxTogether,
                whole = places_[batch - 1].position + 1,
                reach = window > 0 ? std::min(whole, window + kMaxTogether) : whole;
  const auto block = attention_ops_.find(cache.type())->block;
  pool_.ParallelForByThread(
      blocks * hyper_.heads, Grain(2 * kMaxTogether * reach * dim),
      [&](int thread, int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          const int64_t row = i / hyper_.heads * kMaxTogether, head = i % hyper_.heads,
                        at = row * width + head * dim;
          HeadCache of_head = Cache(row, layer, head / group);
          if (!sinks.empty()) of_head.sink = sinks[static_cast<size_t>(head)];
          block(of_head, q_.data() + at, std::min(kMaxTogether, batch - row), width,
                places_[row].position + 1 - first, Scratch(thread), attended_.data() + at);
        }
      });
}

// Each head of keys and values is read once for all the queries that share it.
void Transformer::AttendParts(int layer) {
  const std::vector<float>& sinks = weights_.layers[layer].vector(Role::kAttnSinks);
  const int64_t dim = hyper_.head_dim, heads = hyper_.heads, kv_heads = hyper_.kv_heads,
                group = heads / kv_heads;
  const int64_t floats = PartialFloats(dim), count = static_cast<int64_t>(parts_.size());
  int64_t positions = 0;
  for (const Part& part : parts_) positions += part.end - part.begin;
  const auto partials = [&](int64_t part, int64_t head) {
    return partials_.data() + (part * heads + head) * floats;
  };
  pool_.ParallelForByThread(
      count * kv_heads, Grain(2 * group * positions / count * dim),
      [&](int thread, int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          const int64_t p = i / kv_heads, kv_head = i % kv_heads, head = kv_head * group;
          const Part& part = parts_[p];
          const KvCache& cache = *places_[part.row].cache;
          const int64_t first = cache.First(layer);
          attention_ops_.find(cache.type())
              ->range(Cache(part.row, layer, kv_head), q_.data() + (part.row * heads + head) * dim,
                      group, part.begin - first, part.end - first, partials(p, head),
                      Scratch(thread));
        }
      });
  pool_.ParallelFor(count * heads, Grain(2 * dim), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t p = i / heads, head = i % heads;
      if (!parts_[p].first) continue;  // done with it
      int64_t ranges = 1;
      while (p + ranges < count && !parts_[p + ranges].first) ++ranges;
      MergePartials(partials(p, head), heads * floats, ranges, dim,
                    attended_.data() + (parts_[p].row * heads + head) * dim,
                    sinks.empty() ? -std::numeric_limits<float>::infinity()
                                  : sinks[static_cast<size_t>(head)]);
    }
  });
}

}  // namespace quantfleet::engine
