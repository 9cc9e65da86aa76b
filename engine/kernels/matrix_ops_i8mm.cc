// MatrixOps for aarch64 with the products of small matrices of armv8.6-a (FEAT_I8MM): two rows
// times two tokens, 32 products an instruction. It serves batches; one token by itself has nothing
// to pair with and goes as with FEAT_DotProd.
#if defined(__aarch64__)

#define QF_TARGET __attribute__((target("arch=armv8.2-a+dotprod+i8mm")))
#include "engine/kernels/neon_units-inl.h"

namespace quantfleet::engine {
namespace {

QF_INLINE int32x4_t AddDots(int32x4_t sum, int8x16_t a, int8x16_t b) {
  return vdotq_s32(sum, a, b);
}

// The same eight columns of two rows, one row per half; the first eight of 16 columns, then the
// last.
struct Paired {
  int8x16_t first, last;
};
QF_INLINE Paired Pair(int8x16_t a, int8x16_t b) {
  const int64x2_t wide_a = vreinterpretq_s64_s8(a), wide_b = vreinterpretq_s64_s8(b);
  return {vreinterpretq_s8_s64(vzip1q_s64(wide_a, wide_b)),
          vreinterpretq_s8_s64(vzip2q_s64(wide_a, wide_b))};
}

// Adds two rows' products with two tokens; row r's sum for token t is sums[r * kTogether + t].
template <class B>
QF_INLINE void AddPairs(const Unit* units, const Paired* weights, const ActivationRow* x,
                        int64_t at, float32x4_t* sums) {
  constexpr int kParts = B::kGroup / 16;
  QF_UNROLL
  for (int first = 0; first < kActivationUnit / B::kGroup; first += kTogether) {
    // Per group: row 0 with token 0, with token 1, row 1 with token 0, with token 1.
    int32x4_t dots[kTogether];
    QF_UNROLL
    for (int g = 0; g < kTogether; ++g) {
      dots[g] = vdupq_n_s32(0);
      QF_UNROLL
      for (int part = 0; part < kParts; ++part) {
        const int i = (first + g) * kParts + part;
        const Paired tokens =
            Pair(vld1q_s8(x[0].codes + at + 16 * i), vld1q_s8(x[1].codes + at + 16 * i));
        dots[g] = vmmlaq_s32(dots[g], weights[i].first, tokens.first);
        dots[g] = vmmlaq_s32(dots[g], weights[i].last, tokens.last);
      }
    }
    // A register per row and token, a lane per group.
    QF_UNROLL
    for (int t = 0; t < 2; ++t) {
      const int32x4_t low = t ? vtrn2q_s32(dots[0], dots[1]) : vtrn1q_s32(dots[0], dots[1]);
      const int32x4_t high = t ? vtrn2q_s32(dots[2], dots[3]) : vtrn1q_s32(dots[2], dots[3]);
      const int32x4_t row0 = vcombine_s32(vget_low_s32(low), vget_low_s32(high));
      const int32x4_t row1 = vcombine_s32(vget_high_s32(low), vget_high_s32(high));
      AddGroups<B>(units[0], x[t], at, first, row0, sums[t]);
      AddGroups<B>(units[1], x[t], at, first, row1, sums[kTogether + t]);
    }
  }
}

template <class B>
QF_TARGET void MultiplyTwoRows(const std::byte* row, int64_t row_bytes, int64_t cols,
                               const ActivationRow* x, float* y, int64_t y_stride) {
  float32x4_t sums[2 * kTogether];
  QF_UNROLL
  for (float32x4_t& sum : sums) sum = vdupq_n_f32(0);
  Unit units[2];
  Paired weights[2 * kSubBlocks];
  for (int64_t at = 0; at < cols; at += kActivationUnit, row += B::kUnitBytes) {
    FillSome<B>(row, cols - at, units[0]);
    FillSome<B>(row + row_bytes, cols - at, units[1]);
    for (int i = 0; i < 2 * kSubBlocks; ++i)
      weights[i] = Pair(units[0].codes[i], units[1].codes[i]);
    QF_UNROLL
    for (int t = 0; t < kTogether; t += 2) AddPairs<B>(units, weights, x + t, at, sums + t);
  }
  QF_UNROLL
  for (int t = 0; t < kTogether; ++t) {
    y[t * y_stride] = vaddvq_f32(sums[t]);
    y[t * y_stride + 1] = vaddvq_f32(sums[kTogether + t]);
  }
}

template <class B>
QF_TARGET void MultiplyTogether(const std::byte* weights, int64_t row_bytes, int64_t rows,
                                int64_t cols, const ActivationRow* x, float* y, int64_t y_stride) {
  int64_t r = 0;
  for (; r + 2 <= rows; r += 2)
    MultiplyTwoRows<B>(weights + r * row_bytes, row_bytes, cols, x, y + r, y_stride);
  if (r < rows) MultiplyRow<B, kTogether>(weights + r * row_bytes, cols, x, y + r, y_stride);
}

}  // namespace

const MatrixOps& I8mmMatrixOps() {
  static const MatrixOps ops =
      MakeMatrixOps<PairsByLayout<NeonSet>>("NEON i8mm", NeonMatrixOps().quantize);
  return ops;
}

}  // namespace quantfleet::engine

#endif
