// AVX-512's registers (F, BW, VL and DQ) as the kernels for vectors of any width ask for them
// (registers.h says what each name means). Included by a file that defines QF_TARGET; private to
// it.
#pragma once

#if defined(__GNUC__) && !defined(__clang__)
// g++ 12's own AVX-512 headers begin results with a variable that is nothing yet.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

#include <utility>

#include "engine/kernels/registers_x86-inl.h"

namespace quantfleet::engine {
namespace {

struct Avx512 : X86 {
  using Reg = __m512;
  using Ints = __m512i;
  static constexpr int64_t kLanes = 16;
  static constexpr bool kMasked = true;
  static constexpr int kAccumulators = 16, kTurned = 4;
  static constexpr int kDotSums = 4;
  static constexpr int kPanelRegs = 1;
  // 64 KiB, beside the tokens' share of the second cache.
  static constexpr int64_t kFloatPanelColumns = 512;
  using IntegerTokens = std::integer_sequence<int, 8, 4, 1>;
  using FloatTokens = std::integer_sequence<int, 12, 4, 1>;

  // Rows of floats are loads alone: fetching ahead took a sixth of the time again where they were
  // in the second cache.
  template <int>
  QF_INLINE void FetchAhead(const std::byte*) {}
  QF_INLINE Reg Set(float x) { return _mm512_set1_ps(x); }
  QF_INLINE Reg Load(const void* at) { return _mm512_loadu_ps(at); }
  QF_INLINE Reg LoadHalves(const std::byte* at) { return _mm512_cvtph_ps(Bytes32(at)); }
  QF_INLINE Reg WidenedBFloats(__m256i bits) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
  }
  QF_INLINE Reg LoadBFloats(const std::byte* at) { return WidenedBFloats(Bytes32(at)); }
  QF_INLINE Reg LoadBytes(const std::byte* at) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(Bytes16(at)));
  }
  QF_INLINE __mmask16 FirstLanes(int64_t count) {
    return static_cast<__mmask16>(count >= kLanes ? 0xffff : count <= 0 ? 0 : (1u << count) - 1);
  }
  QF_INLINE Reg LoadSome(const void* at, int64_t count) {
    return _mm512_maskz_loadu_ps(FirstLanes(count), at);
  }
  QF_INLINE Reg LoadSomeHalves(const std::byte* at, int64_t count) {
    return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(FirstLanes(count), at));
  }
  QF_INLINE Reg LoadSomeBFloats(const std::byte* at, int64_t count) {
    return WidenedBFloats(_mm256_maskz_loadu_epi16(FirstLanes(count), at));
  }
  QF_INLINE void Store(Reg x, float* at) { _mm512_storeu_ps(at, x); }
  QF_INLINE void StoreSome(Reg x, float* at, int64_t count) {
    _mm512_mask_storeu_ps(at, FirstLanes(count), x);
  }
  QF_INLINE void StoreHalves(Reg x, std::byte* at) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(at),
                        _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
  }
  QF_INLINE Reg Add(Reg a, Reg b) { return _mm512_add_ps(a, b); }
  QF_INLINE Reg Sub(Reg a, Reg b) { return _mm512_sub_ps(a, b); }
  QF_INLINE Reg Div(Reg a, Reg b) { return _mm512_div_ps(a, b); }
  QF_INLINE Reg Mul(Reg a, Reg b) { return _mm512_mul_ps(a, b); }
  QF_INLINE Reg Fma(Reg a, Reg b, Reg c) { return _mm512_fmadd_ps(a, b, c); }
  QF_INLINE Reg Fnma(Reg a, Reg b, Reg c) { return _mm512_fnmadd_ps(a, b, c); }
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

  QF_INLINE Ints NoInts() { return _mm512_setzero_si512(); }
  QF_INLINE Ints LoadInts(const void* at) { return _mm512_loadu_si512(at); }
  QF_INLINE void StoreInts(Ints x, void* at) { _mm512_storeu_si512(at, x); }
  QF_INLINE Ints SetFour(const int8_t* at) {
    return _mm512_set1_epi32(quantfleet::Load<int32_t>(reinterpret_cast<const std::byte*>(at)));
  }
  QF_INLINE Ints AddInts(Ints a, Ints b) { return _mm512_add_epi32(a, b); }
  QF_INLINE Reg ToFloats(Ints x) { return _mm512_cvtepi32_ps(x); }
  QF_INLINE Ints Bits(Reg x) { return _mm512_castps_si512(x); }
  QF_INLINE void Transpose(Ints* v) {
    Ints a[16], b[16];
    QF_UNROLL
    for (int i = 0; i < 16; i += 2) {
      a[i] = _mm512_unpacklo_epi32(v[i], v[i + 1]);
      a[i + 1] = _mm512_unpackhi_epi32(v[i], v[i + 1]);
    }
    QF_UNROLL
    for (int i = 0; i < 16; i += 4) {
      b[i] = _mm512_unpacklo_epi64(a[i], a[i + 2]);
      b[i + 1] = _mm512_unpackhi_epi64(a[i], a[i + 2]);
      b[i + 2] = _mm512_unpacklo_epi64(a[i + 1], a[i + 3]);
      b[i + 3] = _mm512_unpackhi_epi64(a[i + 1], a[i + 3]);
    }
    QF_UNROLL
    for (int i = 0; i < 16; i += 8) {
      QF_UNROLL
      for (int j = 0; j < 4; ++j) {
        a[i + j] = _mm512_shuffle_i32x4(b[i + j], b[i + j + 4], 0x88);
        a[i + j + 4] = _mm512_shuffle_i32x4(b[i + j], b[i + j + 4], 0xdd);
      }
    }
    QF_UNROLL
    for (int j = 0; j < 8; ++j) {
      v[j] = _mm512_shuffle_i32x4(a[j], a[j + 8], 0x88);
      v[j + 8] = _mm512_shuffle_i32x4(a[j], a[j + 8], 0xdd);
    }
  }
};

}  // namespace
}  // namespace quantfleet::engine
