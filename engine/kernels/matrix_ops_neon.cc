// MatrixOps for what every aarch64 has: NEON of armv8-a, and the quantizer that all its sets share.
#if defined(__aarch64__)

#define QF_TARGET
#include "engine/kernels/neon_units-inl.h"

namespace quantfleet::engine {
namespace {

// Two products of -128 with -127 are 32512: they fit into 16 bits, three do not.
QF_INLINE int32x4_t AddDots(int32x4_t sum, int8x16_t a, int8x16_t b) {
  const int16x8_t products = vmull_s8(vget_low_s8(a), vget_low_s8(b));
  return vpadalq_s16(sum, vmlal_high_s8(products, a, b));
}

template <class B>
QF_TARGET void MultiplyTogether(const std::byte* weights, int64_t row_bytes, int64_t rows,
                                int64_t cols, const ActivationRow* x, float* y, int64_t y_stride) {
  for (int64_t r = 0; r < rows; ++r)
    MultiplyRow<B, kTogether>(weights + r * row_bytes, cols, x, y + r, y_stride);
}

void QuantizeNeon(const float* x, int64_t n, int8_t* codes, float* scales, float* sums,
                  float* half_sums) {
  const int64_t blocks = (n + kActivationUnit - 1) / kActivationUnit * kSubBlocks;
  for (int64_t b = 0; b < blocks; ++b) {
    float32x4_t v[8];
    float32x4_t most = vdupq_n_f32(0);
    QF_UNROLL
    for (int i = 0; i < 8; ++i) {
      v[i] =
          b * kActivationBlock < n ? vld1q_f32(x + b * kActivationBlock + 4 * i) : vdupq_n_f32(0);
      most = vmaxnmq_f32(most, vabsq_f32(v[i]));  // of a NaN and a number the number
    }
    const float largest = vmaxnmvq_f32(most);
    const float inverse = largest > 0 ? 127.f / largest : 0.f;
    int total[2];
    QF_UNROLL
    for (int half = 0; half < 2; ++half) {
      int16x4_t words[4];
      QF_UNROLL
      for (int i = 0; i < 4; ++i) {
        // Halves to even; NaN is 0.
        const int32x4_t code = vcvtnq_s32_f32(vmulq_n_f32(v[4 * half + i], inverse));
        words[i] = vqmovn_s32(vminq_s32(vmaxq_s32(code, vdupq_n_s32(-127)), vdupq_n_s32(127)));
      }
      const int8x8_t first = vqmovn_s16(vcombine_s16(words[0], words[1]));
      const int8x16_t packed = vcombine_s8(first, vqmovn_s16(vcombine_s16(words[2], words[3])));
      vst1q_s8(codes + b * kActivationBlock + 16 * half, packed);
      total[half] = vaddlvq_s8(packed);
      half_sums[2 * b + half] = largest / 127.f * static_cast<float>(total[half]);
    }
    scales[b] = largest / 127.f;
    sums[b] = scales[b] * static_cast<float>(total[0] + total[1]);
  }
}

}  // namespace

const MatrixOps& NeonMatrixOps() {
  static constexpr MatrixOps kOps = MakeMatrixOps<PairsByLayout<NeonSet>>("NEON", QuantizeNeon);
  return kOps;
}

}  // namespace quantfleet::engine

#endif
