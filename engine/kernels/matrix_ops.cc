#include "engine/kernels/matrix_ops.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "common/base/bytes.h"
#include "engine/kernels/block_table.h"
#include "pipeline/tensor/affine_k.h"
#include "pipeline/tensor/half.h"
#include "pipeline/tensor/symmetric_k.h"

#if defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace quantfleet::engine {
namespace {

using pipeline::DType;
using pipeline::HalfToFloat;

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

// A block type says how its elements are numbers: scale * code - min, per group.
struct Q8_0 {
  static constexpr int kElements = 32, kBytes = 34, kGroup = 32;
  static void Load(const std::byte* block, int* codes, float* scales, float* mins) {
    scales[0] = HalfToFloat(quantfleet::Load<uint16_t>(block));
    mins[0] = 0;
    for (int i = 0; i < 32; ++i) codes[i] = quantfleet::Load<int8_t>(block + 2 + i);
  }
};

// Q4_0, Q4_1 and Q5_0: a scale, a min where kMin, a fifth bit per element where kFifthBit, nibbles.
template <bool kMin, bool kFifthBit>
struct Nibbles32 {
  static constexpr int kHeader = kMin ? 4 : 2;
  static constexpr int kElements = 32, kBytes = kHeader + (kFifthBit ? 20 : 16), kGroup = 32;
  static constexpr int kZero = kMin ? 0 : kFifthBit ? 16 : 8;
  static void Load(const std::byte* block, int* codes, float* scales, float* mins) {
    scales[0] = HalfToFloat(quantfleet::Load<uint16_t>(block));
    mins[0] = kMin ? -HalfToFloat(quantfleet::Load<uint16_t>(block + 2)) : 0;
    const uint32_t high = kFifthBit ? quantfleet::Load<uint32_t>(block + kHeader) : 0;
    const std::byte* low = block + kBytes - 16;
    for (int i = 0; i < 32; ++i) {
      const int nibble = static_cast<int>(low[i % 16]) >> (i / 16 * 4) & 15;
      codes[i] = (nibble | static_cast<int>(high >> i & 1) << 4) - kZero;
    }
  }
};

template <bool kFifthBit>
struct AffineK {
  static constexpr int kElements = 256, kBytes = kFifthBit ? 176 : 144, kGroup = 32;
  static void Load(const std::byte* block, int* codes, float* scales, float* mins) {
    const pipeline::AffineKHeader header = pipeline::LoadHeader(block);
    for (int j = 0; j < 8; ++j) {
      scales[j] = HalfToFloat(header.d) * static_cast<float>(header.scales[j]);
      mins[j] = HalfToFloat(header.dmin) * static_cast<float>(header.mins[j]);
    }
    const std::byte* high = block + pipeline::kAffineKHeader;
    const std::byte* low = high + (kFifthBit ? 32 : 0);
    for (int i = 0; i < 256; ++i) {
      const int pair = i / 64, l = i % 32;
      const bool upper = i % 64 >= 32;
      const int byte = static_cast<int>(low[pair * 32 + l]);
      codes[i] = upper ? byte >> 4 : byte & 15;
      if (kFifthBit) codes[i] |= (static_cast<int>(high[l]) >> (2 * pair + upper) & 1) << 4;
    }
  }
};

struct Q6_K {
  static constexpr int kElements = 256, kBytes = 210, kGroup = 16;
  static void Load(const std::byte* block, int* codes, float* scales, float* mins) {
    const float d = HalfToFloat(quantfleet::Load<uint16_t>(block + pipeline::kQ6Scale));
    for (int g = 0; g < 16; ++g) {
      scales[g] = d * static_cast<float>(quantfleet::Load<int8_t>(block + pipeline::kQ6Scales + g));
      mins[g] = 0;
    }
    for (int i = 0; i < 256; ++i) {
      const int half = i / 128, quarter = i % 128 / 32, l = i % 32;
      const int low =
          static_cast<int>(block[half * 64 + (quarter % 2) * 32 + l]) >> (quarter / 2 * 4) & 15;
      const int high =
          static_cast<int>(block[pipeline::kQ6High + half * 32 + l]) >> (2 * quarter) & 3;
      codes[i] = (low | high << 4) - 32;
    }
  }
};

template <class B>
float Dot(const std::byte* row, int64_t cols, const ActivationRow& x) {
  float sum = 0;
  for (int64_t b = 0; b < cols / B::kElements; ++b) {
    int codes[B::kElements];
    float scales[B::kElements / B::kGroup], mins[B::kElements / B::kGroup];
    B::Load(row + b * B::kBytes, codes, scales, mins);
    for (int g = 0; g < B::kElements / B::kGroup; ++g) {
      const int64_t at = b * B::kElements + g * B::kGroup;
      int dot = 0;
      for (int i = 0; i < B::kGroup; ++i) dot += codes[g * B::kGroup + i] * x.codes[at + i];
      const float total = B::kGroup == 16 ? x.half_sums[at / 16] : x.sums[at / 32];
      sum +=
          scales[g] * x.scales[at / kActivationBlock] * static_cast<float>(dot) - mins[g] * total;
    }
  }
  return sum;
}

template <class B>
void Multiply(const std::byte* weights, int64_t row_bytes, int64_t rows, int64_t cols,
              std::span<const ActivationRow> x, float* y, int64_t y_stride) {
  for (int64_t r = 0; r < rows; ++r) {
    for (size_t t = 0; t < x.size(); ++t)
      y[static_cast<int64_t>(t) * y_stride + r] = Dot<B>(weights + r * row_bytes, cols, x[t]);
  }
}

// As block_table.h takes it.
struct ScalarSet {
  using Q8 = Q8_0;
  template <bool kMin, bool kFifthBit>
  using Nibbles = Nibbles32<kMin, kFifthBit>;
  template <bool kFifthBit>
  using Affine = AffineK<kFifthBit>;
  using Q6 = Q6_K;
  template <class B>
  static constexpr MultiplyPair kIntegers = {Multiply<B>, Multiply<B>};
  template <DType>
  static constexpr MultiplyPair kFloats = {};
};

}  // namespace

bool TakesIntegers(DType type) { return Info(type).integer_products; }

const MatrixOps& ScalarMatrixOps() {
  static constexpr MatrixOps kOps = MakeMatrixOps<ScalarSet>("scalar", Quantize);
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
