// Attention with AVX2, FMA and F16C. Compiled for them function by function: nothing here runs
// elsewhere.
#if defined(__x86_64__)

#define QF_TARGET __attribute__((target("avx2,fma,f16c")))

#include "engine/kernels/attention_kernels-inl.h"
#include "engine/kernels/attention_x86-inl.h"

namespace quantfleet::engine {
namespace {

struct Avx2 : X86 {
  using Reg = __m256;
  static constexpr int64_t kLanes = 8;
  static constexpr int kAccumulators = 8, kTurned = 2;
  QF_INLINE Reg Set(float x) { return _mm256_set1_ps(x); }
  QF_INLINE Reg Load(const void* at) { return _mm256_loadu_ps(static_cast<const float*>(at)); }
  QF_INLINE Reg LoadHalves(const std::byte* at) { return _mm256_cvtph_ps(Bytes16(at)); }
  QF_INLINE Reg LoadBytes(const std::byte* at) {
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(Bytes8(at)));
  }
  QF_INLINE void Store(Reg x, float* at) { _mm256_storeu_ps(at, x); }
  QF_INLINE void StoreHalves(Reg x, std::byte* at) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(at), _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
  }
  QF_INLINE Reg Add(Reg a, Reg b) { return _mm256_add_ps(a, b); }
  QF_INLINE Reg Sub(Reg a, Reg b) { return _mm256_sub_ps(a, b); }
  QF_INLINE Reg Mul(Reg a, Reg b) { return _mm256_mul_ps(a, b); }
  QF_INLINE Reg Fma(Reg a, Reg b, Reg c) { return _mm256_fmadd_ps(a, b, c); }
  QF_INLINE Reg Max(Reg a, Reg b) { return _mm256_max_ps(a, b); }
  QF_INLINE Reg Round(Reg x) {
    return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  QF_INLINE Reg PowerOfTwo(Reg x) {
    const __m256i biased = _mm256_add_epi32(_mm256_cvtps_epi32(x), _mm256_set1_epi32(127));
    return _mm256_castsi256_ps(_mm256_slli_epi32(biased, 23));
  }
  QF_INLINE Reg WhereLess(Reg a, Reg b, Reg yes, Reg no) {
    return _mm256_blendv_ps(no, yes, _mm256_cmp_ps(a, b, _CMP_LT_OQ));
  }
  QF_INLINE void Sum4(const Reg* x, float* sums) { SumOf4(x[0], x[1], x[2], x[3], sums); }
  QF_INLINE float Sum(Reg x) { return SumOf(x); }
  QF_INLINE float Greatest(Reg x) { return GreatestOf(x); }
  QF_INLINE float First(Reg x) { return _mm256_cvtss_f32(x); }
};

}  // namespace

const AttentionOps& Avx2AttentionOps() {
  static constexpr AttentionOps kOps = {"AVX2", FindKernels<Avx2>};
  return kOps;
}

}  // namespace quantfleet::engine

#endif
