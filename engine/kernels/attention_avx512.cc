// Attention with AVX-512. Compiled for it function by function: nothing here runs elsewhere.
#if defined(__x86_64__)

#if defined(__GNUC__) && !defined(__clang__)
// g++ 12's own AVX-512 headers begin results with a variable that is nothing yet.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#define QF_TARGET __attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq")))

#include "engine/kernels/attention_kernels-inl.h"
#include "engine/kernels/attention_x86-inl.h"

namespace quantfleet::engine {
namespace {

struct Avx512 : X86 {
  using Reg = __m512;
  static constexpr int64_t kLanes = 16;
  static constexpr int kAccumulators = 16, kTurned = 4;
  QF_INLINE Reg Set(float x) { return _mm512_set1_ps(x); }
  QF_INLINE Reg Load(const void* at) { return _mm512_loadu_ps(at); }
  QF_INLINE Reg LoadHalves(const std::byte* at) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(at)));
  }
  QF_INLINE Reg LoadBytes(const std::byte* at) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(Bytes16(at)));
  }
  QF_INLINE void Store(Reg x, float* at) { _mm512_storeu_ps(at, x); }
  QF_INLINE void StoreHalves(Reg x, std::byte* at) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(at),
                        _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
  }
  QF_INLINE Reg Add(Reg a, Reg b) { return _mm512_add_ps(a, b); }
  QF_INLINE Reg Sub(Reg a, Reg b) { return _mm512_sub_ps(a, b); }
  QF_INLINE Reg Mul(Reg a, Reg b) { return _mm512_mul_ps(a, b); }
  QF_INLINE Reg Fma(Reg a, Reg b, Reg c) { return _mm512_fmadd_ps(a, b, c); }
  QF_INLINE Reg Max(Reg a, Reg b) { return _mm512_max_ps(a, b); }
  QF_INLINE Reg Round(Reg x) {
    return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  QF_INLINE Reg PowerOfTwo(Reg x) {
    const __m512i biased = _mm512_add_epi32(_mm512_cvtps_epi32(x), _mm512_set1_epi32(127));
    return _mm512_castsi512_ps(_mm512_slli_epi32(biased, 23));
  }
  QF_INLINE Reg WhereLess(Reg a, Reg b, Reg yes, Reg no) {
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), no, yes);
  }
  QF_INLINE __m256 Folded(Reg x) {
    return _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
  }
  QF_INLINE void Sum4(const Reg* x, float* sums) {
    SumOf4(Folded(x[0]), Folded(x[1]), Folded(x[2]), Folded(x[3]), sums);
  }
  QF_INLINE float Sum(Reg x) { return SumOf(Folded(x)); }
  QF_INLINE float Greatest(Reg x) {
    return GreatestOf(_mm256_max_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1)));
  }
  QF_INLINE float First(Reg x) { return _mm512_cvtss_f32(x); }
};

}  // namespace

const AttentionOps& Avx512AttentionOps() {
  static constexpr AttentionOps kOps = {"AVX-512", FindKernels<Avx512>};
  return kOps;
}

}  // namespace quantfleet::engine

#endif
