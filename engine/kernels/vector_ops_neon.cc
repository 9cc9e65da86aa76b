// VectorOps for aarch64: NEON of armv8-a, which every one has.
#if defined(__aarch64__)

#include <arm_neon.h>

#include "common/base/bytes.h"
#include "engine/kernels/vector_ops.h"
#include "pipeline/tensor/codec.h"
#include "pipeline/tensor/half.h"

#define QF_NEON_INLINE [[gnu::always_inline]] static inline
// Arrays of registers stay in registers only where every index is a constant.
#define QF_EACH_PART _Pragma("GCC unroll 8")

namespace quantfleet::engine {
namespace {

using pipeline::DType;

constexpr int64_t kStep = 32;  // elements per round: eight accumulators of four
constexpr int kParts = 8;

QF_NEON_INLINE uint8x16_t Bytes16(const std::byte* at) {
  return vld1q_u8(reinterpret_cast<const uint8_t*>(at));
}

// How 32 elements come out of their bytes, and a single one at the end of a row.
struct F32 {
  static constexpr int64_t kStepBytes = 128;
  QF_NEON_INLINE void Load32(const std::byte* at, float32x4_t* v) {
    QF_EACH_PART
    for (int i = 0; i < kParts; ++i) v[i] = vreinterpretq_f32_u8(Bytes16(at + 16 * i));
  }
  QF_NEON_INLINE float One(const std::byte* row, int64_t i) { return Load<float>(row + 4 * i); }
};

struct F16 {
  static constexpr int64_t kStepBytes = 64;
  QF_NEON_INLINE void Load32(const std::byte* at, float32x4_t* v) {
    QF_EACH_PART
    for (int i = 0; i < kParts; i += 2) {
      const float16x8_t halves = vreinterpretq_f16_u8(Bytes16(at + 8 * i));
      v[i] = vcvt_f32_f16(vget_low_f16(halves));
      v[i + 1] = vcvt_high_f32_f16(halves);
    }
  }
  QF_NEON_INLINE float One(const std::byte* row, int64_t i) {
    return pipeline::HalfToFloat(Load<uint16_t>(row + 2 * i));
  }
};

struct BF16 {
  static constexpr int64_t kStepBytes = 64;
  QF_NEON_INLINE void Load32(const std::byte* at, float32x4_t* v) {
    QF_EACH_PART
    for (int i = 0; i < kParts; i += 2) {
      const uint16x8_t bits = vreinterpretq_u16_u8(Bytes16(at + 8 * i));
      v[i] = vreinterpretq_f32_u32(vshll_n_u16(vget_low_u16(bits), 16));
      v[i + 1] = vreinterpretq_f32_u32(vshll_high_n_u16(bits, 16));
    }
  }
  QF_NEON_INLINE float One(const std::byte* row, int64_t i) {
    return pipeline::BFloatToFloat(Load<uint16_t>(row + 2 * i));
  }
};

// Sixteen signed bytes, times the scale.
QF_NEON_INLINE void Widen(int8x16_t codes, float scale, float32x4_t* v) {
  const int16x8_t low = vmovl_s8(vget_low_s8(codes)), high = vmovl_high_s8(codes);
  v[0] = vmulq_n_f32(vcvtq_f32_s32(vmovl_s16(vget_low_s16(low))), scale);
  v[1] = vmulq_n_f32(vcvtq_f32_s32(vmovl_high_s16(low)), scale);
  v[2] = vmulq_n_f32(vcvtq_f32_s32(vmovl_s16(vget_low_s16(high))), scale);
  v[3] = vmulq_n_f32(vcvtq_f32_s32(vmovl_high_s16(high)), scale);
}

struct Q8_0 {
  static constexpr int64_t kStepBytes = 34;
  QF_NEON_INLINE void Load32(const std::byte* at, float32x4_t* v) {
    const float scale = pipeline::HalfToFloat(Load<uint16_t>(at));
    Widen(vreinterpretq_s8_u8(Bytes16(at + 2)), scale, v);
    Widen(vreinterpretq_s8_u8(Bytes16(at + 18)), scale, v + 4);
  }
  // Rows are whole blocks: there is no end.
  QF_NEON_INLINE float One(const std::byte*, int64_t) { return 0; }
};

struct Q4_0 {
  static constexpr int64_t kStepBytes = 18;
  QF_NEON_INLINE void Load32(const std::byte* at, float32x4_t* v) {
    const float scale = pipeline::HalfToFloat(Load<uint16_t>(at));
    const uint8x16_t packed = Bytes16(at + 2);
    const int8x16_t eight = vdupq_n_s8(8);
    Widen(vsubq_s8(vreinterpretq_s8_u8(vandq_u8(packed, vdupq_n_u8(15))), eight), scale, v);
    Widen(vsubq_s8(vreinterpretq_s8_u8(vshrq_n_u8(packed, 4)), eight), scale, v + 4);
  }
  QF_NEON_INLINE float One(const std::byte*, int64_t) { return 0; }
};

QF_NEON_INLINE float Sum(const float32x4_t* parts) {
  const float32x4_t low = vaddq_f32(vaddq_f32(parts[0], parts[1]), vaddq_f32(parts[2], parts[3]));
  const float32x4_t high = vaddq_f32(vaddq_f32(parts[4], parts[5]), vaddq_f32(parts[6], parts[7]));
  return vaddvq_f32(vaddq_f32(low, high));
}

// The order of the sum depends on n alone, not on the format: see vector_ops.h.
template <typename Format>
float RowDotNeon(const std::byte* row, const float* x, int64_t n) {
  float32x4_t sums[kParts];
  for (float32x4_t& sum : sums) sum = vdupq_n_f32(0);
  int64_t i = 0;
  for (; i + kStep <= n; i += kStep) {
    float32x4_t v[kParts];
    Format::Load32(row + i / kStep * Format::kStepBytes, v);
    QF_EACH_PART
    for (int j = 0; j < kParts; ++j) sums[j] = vfmaq_f32(sums[j], v[j], vld1q_f32(x + i + 4 * j));
  }
  float sum = Sum(sums);
  for (; i < n; ++i) sum = __builtin_fmaf(Format::One(row, i), x[i], sum);
  return sum;
}

template <typename Format>
void RowDecodeNeon(const std::byte* row, int64_t n, float* out) {
  int64_t i = 0;
  for (; i + kStep <= n; i += kStep) {
    float32x4_t v[kParts];
    Format::Load32(row + i / kStep * Format::kStepBytes, v);
    QF_EACH_PART
    for (int j = 0; j < kParts; ++j) vst1q_f32(out + i + 4 * j, v[j]);
  }
  for (; i < n; ++i) out[i] = Format::One(row, i);
}

float DotNeon(const float* a, const float* b, int64_t n) {
  return RowDotNeon<F32>(reinterpret_cast<const std::byte*>(a), b, n);
}

RowDot FindRowDot(DType type) {
  switch (type) {
    case DType::kF32:
      return RowDotNeon<F32>;
    case DType::kF16:
      return RowDotNeon<F16>;
    case DType::kBF16:
      return RowDotNeon<BF16>;
    case DType::kQ8_0:
      return RowDotNeon<Q8_0>;
    case DType::kQ4_0:
      return RowDotNeon<Q4_0>;
    default:
      return ScalarOps().row_dot(type);
  }
}

RowDecode FindRowDecode(DType type) {
  switch (type) {
    case DType::kF32:
      return RowDecodeNeon<F32>;
    case DType::kF16:
      return RowDecodeNeon<F16>;
    case DType::kBF16:
      return RowDecodeNeon<BF16>;
    case DType::kQ8_0:
      return RowDecodeNeon<Q8_0>;
    case DType::kQ4_0:
      return RowDecodeNeon<Q4_0>;
    default:
      return ScalarOps().row_decode(type);
  }
}

}  // namespace

const VectorOps& NeonOps() {
  static constexpr VectorOps kOps = {DotNeon, FindRowDot, FindRowDecode};
  return kOps;
}

}  // namespace quantfleet::engine

#endif
