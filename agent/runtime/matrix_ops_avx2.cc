// MatrixOps for x86 with AVX2: integers alone. A few tokens at a time share one decoding of a row.
#if defined(__x86_64__)

#define QF_TARGET __attribute__((target("avx2,fma,f16c")))
#include "agent/runtime/block_units-inl.h"

namespace quantfleet::agent {
namespace {

using pipeline::DType;

// The instruction adds pairs of products in 16 bits and saturates: 255 * 127 twice does not fit, so that
// codes of eight bits go as 2 * (code >> 1) + (code & 1).
template <bool kEightBits>
QF_INLINE __m256i DotBytes(__m256i unsigned_codes, __m256i signed_codes) {
  const __m256i ones = _mm256_set1_epi16(1);
  if constexpr (kEightBits) {
    const __m256i half = _mm256_and_si256(_mm256_srli_epi16(unsigned_codes, 1), _mm256_set1_epi8(127));
    const __m256i odd = _mm256_and_si256(unsigned_codes, _mm256_set1_epi8(1));
    const __m256i halves = _mm256_madd_epi16(_mm256_maddubs_epi16(half, signed_codes), ones);
    const __m256i odds = _mm256_madd_epi16(_mm256_maddubs_epi16(odd, signed_codes), ones);
    return _mm256_add_epi32(_mm256_slli_epi32(halves, 1), odds);
  } else {
    return _mm256_madd_epi16(_mm256_maddubs_epi16(unsigned_codes, signed_codes), ones);
  }
}

constexpr int kTogether = 4;

template <class B>
QF_TARGET void Multiply(const std::byte* weights, int64_t row_bytes, int64_t rows, int64_t cols,
                        std::span<const ActivationRow> x, float* y, int64_t y_stride) {
  const auto tokens = static_cast<int64_t>(x.size());
  // Strips of rows stay in cache while the tokens pass by.
  constexpr int64_t kStrip = 16;
  for (int64_t r = 0; r < rows; r += kStrip) {
    const std::byte* strip = weights + r * row_bytes;
    const int64_t height = std::min(kStrip, rows - r);
    int64_t t = 0;
    for (; t + kTogether <= tokens; t += kTogether)
      MultiplySome<B, kTogether>(strip, row_bytes, height, cols, &x[t], y + t * y_stride + r, y_stride);
    for (; t < tokens; ++t)
      MultiplySome<B, 1>(strip, row_bytes, height, cols, &x[t], y + t * y_stride + r, y_stride);
  }
}

MultiplyRows FindMultiply(DType type) {
  switch (type) {
    case DType::kQ8_0:
      return Multiply<Q8_0>;
    case DType::kQ4_0:
      return Multiply<Q4_0>;
    case DType::kQ4_1:
      return Multiply<Legacy<true, false>>;
    case DType::kQ5_0:
      return Multiply<Legacy<false, true>>;
    case DType::kQ4_K:
      return Multiply<Q4_K>;
    case DType::kQ5_K:
      return Multiply<Q5_K>;
    case DType::kQ6_K:
      return Multiply<Q6_K>;
    default:
      return nullptr;
  }
}

}  // namespace

const MatrixOps& Avx2MatrixOps() {
  static constexpr MatrixOps kOps = {"AVX2", QuantizeSimd, FindMultiply, FindMultiply};
  return kOps;
}

}  // namespace quantfleet::agent

#endif
