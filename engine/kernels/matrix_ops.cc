#include "engine/kernels/matrix_ops.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "engine/kernels/block_table.h"
#include "pipeline/tensor/codec.h"

#if defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace quantfleet::engine {
namespace {

using pipeline::DType;

void Quantize(const float* x, int64_t n, int8_t* codes, float* scales, float* sums,
              float* half_sums) {
  const int64_t units = (n + kActivationUnit - 1) / kActivationUnit;
  std::fill_n(codes + n, units * kActivationUnit - n, int8_t{0});
  for (int64_t b = 0; b < units * (kActivationUnit / kActivationBlock); ++b) {
    const bool there = b * kActivationBlock < n;
    float most = 0;
    for (int64_t i = 0; there && i < kActivationBlock; ++i)
      most = std::max(most, std::fabs(x[b * kActivationBlock + i]));
    const float inverse = most > 0 ? 127.f / most : 0.f;
    int totals[2] = {};
    for (int64_t i = 0; there && i < kActivationBlock; ++i) {
      const int64_t at = b * kActivationBlock + i;
      // A NaN has no code; the logits' own check finds what it came from.
      const float scaled = std::nearbyint(x[at] * inverse);
      codes[at] = scaled >= -127.f && scaled <= 127.f ? static_cast<int8_t>(scaled) : int8_t{0};
      totals[i / 16] += codes[at];
    }
    scales[b] = there ? most / 127.f : 0.f;
    half_sums[2 * b] = scales[b] * static_cast<float>(totals[0]);
    half_sums[2 * b + 1] = scales[b] * static_cast<float>(totals[1]);
    sums[b] = scales[b] * static_cast<float>(totals[0] + totals[1]);
  }
}

// Decoded weights times one block of activations, with sums apart that a compiler can vectorize.
float DotBlock(const float* values, const int8_t* codes) {
  constexpr int kSums = 16;
  float sums[kSums];
  for (int i = 0; i < kSums; ++i)
    sums[i] = values[i] * static_cast<float>(codes[i]) +
              values[i + kSums] * static_cast<float>(codes[i + kSums]);
  float total = 0;
  for (const float sum : sums) total += sum;
  return total;
}

// A row is decoded by the type's own codec, in pieces that the stack holds, and multiplied by all
// tokens.
template <size_t kRow>  // of kDTypes
void Multiply(const std::byte* weights, int64_t row_bytes, int64_t rows, int64_t cols,
              std::span<const ActivationRow> x, float* y, int64_t y_stride) {
  constexpr const pipeline::DTypeInfo& kInfo = pipeline::kDTypes[kRow];
  static_assert(kActivationUnit % kInfo.block_elements == 0);
  for (int64_t r = 0; r < rows; ++r) {
    for (size_t t = 0; t < x.size(); ++t) y[static_cast<int64_t>(t) * y_stride + r] = 0;
    for (int64_t at = 0; at < cols; at += kActivationUnit) {
      float values[kActivationUnit];
      const int64_t count = std::min(kActivationUnit, cols - at);
      kInfo.codec->decode(weights + r * row_bytes + at / kInfo.block_elements * kInfo.block_bytes,
                          count, values);
      for (size_t t = 0; t < x.size(); ++t) {
        float& sum = y[static_cast<int64_t>(t) * y_stride + r];
        for (int64_t b = 0; b < count; b += kActivationBlock)
          sum +=
              x[t].scales[(at + b) / kActivationBlock] * DotBlock(values + b, x[t].codes + at + b);
      }
    }
  }
}

// As block_table.h takes them.
struct ScalarPairs {
  template <size_t kRow>
  static constexpr MultiplyPair Of() {
    if constexpr (pipeline::kDTypes[kRow].integer_products)
      return {Multiply<kRow>, Multiply<kRow>};
    else
      return {};
  }
};

}  // namespace

bool TakesIntegers(DType type) { return Info(type).integer_products.has_value(); }

const MatrixOps& ScalarMatrixOps() {
  static constexpr MatrixOps kOps = MakeMatrixOps<ScalarPairs>("scalar", Quantize);
  return kOps;
}

std::vector<const MatrixOps*> AllMatrixOps() {
  std::vector<const MatrixOps*> sets = {&ScalarMatrixOps()};
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
      __builtin_cpu_supports("f16c")) {
    sets.push_back(&Avx2MatrixOps());
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512vnni"))
      sets.push_back(&Avx512MatrixOps());
  }
#elif defined(__aarch64__)
  sets.push_back(&NeonMatrixOps());
  if (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) {
    sets.push_back(&DotprodMatrixOps());
    if (getauxval(AT_HWCAP2) & HWCAP2_I8MM) sets.push_back(&I8mmMatrixOps());
  }
#endif
  return sets;
}

const MatrixOps& ChosenMatrixOps() {
  static const MatrixOps& chosen = *AllMatrixOps().back();
  return chosen;
}

}  // namespace quantfleet::engine
