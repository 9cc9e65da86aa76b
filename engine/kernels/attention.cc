#include "engine/kernels/attention.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <span>

#include "common/base/bytes.h"
#include "engine/kernels/attention_layout.h"
#include "pipeline/tensor/codec.h"

namespace quantfleet::engine {
namespace {

using pipeline::DType;

// The last block is filled up with zeros.
template <DType kType>
void StoreRow(const float* x, int64_t dim, std::byte* row) {
  const pipeline::Codec& codec = *pipeline::FindCodec(kType);
  const int64_t block = pipeline::Info(kType).block_elements, whole = dim / block * block;
  if (whole > 0) codec.encode(x, 1, whole, nullptr, row);
  if (whole == dim) return;
  std::array<float, kStep> last{};
  std::copy(x + whole, x + dim, last.begin());
  codec.encode(last.data(), 1, block, nullptr, row + pipeline::RowBytes(kType, whole));
}

double Capped(double score, double cap) { return cap == 0 ? score : cap * std::tanh(score / cap); }

template <DType kType>
void Range(const HeadCache& cache, const float* queries, int64_t count, int64_t begin, int64_t end,
           float* partials, float* scratch) {
  const int64_t dim = cache.dim, padded = Padded(dim);
  const int64_t block = pipeline::Info(kType).block_elements,
                stored = (dim + block - 1) / block * block;
  const auto decode = pipeline::FindCodec(kType)->decode;
  const double scale = kLog2E / std::sqrt(static_cast<double>(dim));
  for (int64_t i = 0; i < count; ++i, queries += dim, partials += kPartialHead + padded) {
    float& most = partials[kMax] = kLowest;
    float& total = partials[kTotal] = 0;
    float* sum = partials + kPartialHead;
    std::fill_n(sum, padded, 0.f);
    for (int64_t p = begin; p < end; ++p) {
      decode(cache.keys + p * cache.row_bytes, stored, scratch);
      double dot = 0;
      for (int64_t d = 0; d < dim; ++d) dot += double{queries[d]} * scratch[d];
      const auto score = static_cast<float>(Capped(dot * scale, cache.cap * kLog2E));
      const float higher =
          score > most ? score : most;  // of NaN nothing is greater; its weight is NaN
      const float before = std::exp2(most - higher), weight = std::exp2(score - higher);
      most = higher;
      total = total * before + weight;
      decode(cache.values + p * cache.row_bytes, stored, scratch);
      for (int64_t d = 0; d < dim; ++d) sum[d] = sum[d] * before + weight * scratch[d];
    }
  }
}

template <DType kType>
void Block(const HeadCache& cache, const float* queries, int64_t rows, int64_t stride,
           int64_t reach, float* scratch, float* out) {
  float* partial = scratch + Padded(cache.dim);
  for (int64_t i = 0; i < rows; ++i) {
    Range<kType>(cache, queries + i * stride, 1, WindowBegin(cache, reach + i), reach + i, partial,
                 scratch);
    MergePartials(partial, 0, 1, cache.dim, out + i * stride, cache.sink);
  }
}

const AttentionKernels* FindScalar(DType type) {
  static constexpr AttentionKernels kF32 = {StoreRow<DType::kF32>, Range<DType::kF32>,
                                            Block<DType::kF32>};
  static constexpr AttentionKernels kF16 = {StoreRow<DType::kF16>, Range<DType::kF16>,
                                            Block<DType::kF16>};
  static constexpr AttentionKernels kQ8 = {StoreRow<DType::kQ8_0>, Range<DType::kQ8_0>,
                                           Block<DType::kQ8_0>};
  return type == DType::kF32    ? &kF32
         : type == DType::kF16  ? &kF16
         : type == DType::kQ8_0 ? &kQ8
                                : nullptr;
}

}  // namespace

int64_t PartialFloats(int64_t dim) { return kPartialHead + Padded(dim); }

int64_t ScratchFloats(int64_t dim) {
  const int64_t alone = kHeads * (Padded(dim) + kTile);
  // Queries and results turned, a tile of keys or values, scores, and two rows of sums beside the
  // reaches.
  const int64_t block =
      Padded(dim) * (2 * kMaxTogether + kBlockTile) + (kBlockTile + 4) * kMaxTogether;
  return std::max(block, alone + PartialFloats(dim));
}

void MergePartials(const float* partials, int64_t stride, int64_t ranges, int64_t dim, float* out,
                   float sink) {
  sink *= static_cast<float>(kLog2E);
  float most = std::max(kLowest, sink), total = 0;
  for (int64_t r = 0; r < ranges; ++r) most = std::max(most, partials[r * stride + kMax]);
  std::fill_n(out, dim, 0.f);
  for (int64_t r = 0; r < ranges; ++r, partials += stride) {
    const float weight = std::exp2(partials[kMax] - most);
    total += weight * partials[kTotal];
    for (int64_t d = 0; d < dim; ++d) out[d] += weight * partials[kPartialHead + d];
  }
  total += std::exp2(sink - most);
  for (int64_t d = 0; d < dim; ++d) out[d] /= total;
}

const AttentionOps& ScalarAttentionOps() {
  static constexpr AttentionOps kOps = {"scalar", FindScalar};
  return kOps;
}

std::vector<const AttentionOps*> AllAttentionOps() {
  std::vector<const AttentionOps*> sets = {&ScalarAttentionOps()};
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
      __builtin_cpu_supports("f16c")) {
    sets.push_back(&Avx2AttentionOps());
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
      sets.push_back(&Avx512AttentionOps());
  }
#elif defined(__aarch64__)
  sets.push_back(&NeonAttentionOps());
#endif
  return sets;
}

const AttentionOps& ChosenAttentionOps() {
  static const AttentionOps& chosen = *AllAttentionOps().back();
  return chosen;
}

}  // namespace quantfleet::engine
