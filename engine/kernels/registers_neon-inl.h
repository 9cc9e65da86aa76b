// The registers of NEON (armv8-a, which every aarch64 has) as the kernels for vectors of any width
// ask for them (registers.h says what each name means). Included by a file that defines QF_TARGET;
// private to it.
#pragma once

#include <arm_neon.h>

#include <cstddef>
#include <cstdint>

#include "common/base/bytes.h"
#include "engine/kernels/unroll.h"
#include "pipeline/tensor/half.h"

namespace quantfleet::engine {
namespace {

struct Neon {
  using Reg = float32x4_t;
  static constexpr int64_t kLanes = 4;
  static constexpr bool kMasked = false;
  static constexpr int kAccumulators = 16, kTurned = 4;
  static constexpr int kDotSums = 8;

  QF_INLINE uint8x16_t Bytes16(const std::byte* at) {
    return vld1q_u8(reinterpret_cast<const uint8_t*>(at));
  }
  QF_INLINE Reg Set(float x) { return vdupq_n_f32(x); }
  QF_INLINE Reg Load(const void* at) {
    return vreinterpretq_f32_u8(vld1q_u8(static_cast<const uint8_t*>(at)));
  }
  QF_INLINE Reg LoadHalves(const std::byte* at) {
    return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(reinterpret_cast<const uint8_t*>(at))));
  }
  QF_INLINE Reg LoadBFloats(const std::byte* at) {
    const uint16x4_t bits = vreinterpret_u16_u8(vld1_u8(reinterpret_cast<const uint8_t*>(at)));
    return vreinterpretq_f32_u32(vshll_n_u16(bits, 16));
  }
  QF_INLINE Reg LoadBytes(const std::byte* at) {
    const int8x8_t four = vreinterpret_s8_u32(vdup_n_u32(quantfleet::Load<uint32_t>(at)));
    return vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(four))));
  }
  QF_INLINE void Widen16(int8x16_t codes, Reg* v) {
    const int16x8_t low = vmovl_s8(vget_low_s8(codes)), high = vmovl_high_s8(codes);
    v[0] = vcvtq_f32_s32(vmovl_s16(vget_low_s16(low)));
    v[1] = vcvtq_f32_s32(vmovl_high_s16(low));
    v[2] = vcvtq_f32_s32(vmovl_s16(vget_low_s16(high)));
    v[3] = vcvtq_f32_s32(vmovl_high_s16(high));
  }
  QF_INLINE void LoadNibbles(const std::byte* at, Reg* v) {
    const uint8x16_t packed = Bytes16(at);
    const int8x16_t eight = vdupq_n_s8(8);
    Widen16(vsubq_s8(vreinterpretq_s8_u8(vandq_u8(packed, vdupq_n_u8(15))), eight), v);
    Widen16(vsubq_s8(vreinterpretq_s8_u8(vshrq_n_u8(packed, 4)), eight), v + 4);
  }
  QF_INLINE void Store(Reg x, float* at) { vst1q_f32(at, x); }
  QF_INLINE void StoreHalves(Reg x, std::byte* at) {
    vst1_u8(reinterpret_cast<uint8_t*>(at), vreinterpret_u8_f16(vcvt_f16_f32(x)));
  }
  QF_INLINE float Half(const std::byte* at) {
    return pipeline::HalfToFloat(quantfleet::Load<uint16_t>(at));
  }
  QF_INLINE void Fetch(const std::byte* at, int64_t bytes) {
    for (int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(at + i);
  }
  template <int>
  QF_INLINE void FetchAhead(const std::byte*) {}
  QF_INLINE Reg Add(Reg a, Reg b) { return vaddq_f32(a, b); }
  QF_INLINE Reg Sub(Reg a, Reg b) { return vsubq_f32(a, b); }
  QF_INLINE Reg Div(Reg a, Reg b) { return vdivq_f32(a, b); }
  QF_INLINE Reg Mul(Reg a, Reg b) { return vmulq_f32(a, b); }
  QF_INLINE Reg Fma(Reg a, Reg b, Reg c) { return vfmaq_f32(c, a, b); }
  QF_INLINE Reg Max(Reg a, Reg b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
  QF_INLINE Reg Round(Reg x) { return vrndnq_f32(x); }
  QF_INLINE Reg PowerOfTwo(Reg x) {
    return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(vcvtq_s32_f32(x), vdupq_n_s32(127)), 23));
  }
  QF_INLINE Reg WhereLess(Reg a, Reg b, Reg yes, Reg no) {
    return vbslq_f32(vcltq_f32(a, b), yes, no);
  }
  QF_INLINE void Sum4(const Reg* x, float* sums) {
    vst1q_f32(sums, vpaddq_f32(vpaddq_f32(x[0], x[1]), vpaddq_f32(x[2], x[3])));
  }
  QF_INLINE float Sum(Reg x) { return vaddvq_f32(x); }
  QF_INLINE float Greatest(Reg x) { return vmaxvq_f32(x); }
  QF_INLINE float First(Reg x) { return vgetq_lane_f32(x, 0); }
};

}  // namespace
}  // namespace quantfleet::engine
