// AVX2's registers, with FMA and F16C, as the kernels for vectors of any width ask for them
// (registers.h says what each name means). Included by a file that defines QF_TARGET; private to
// it.
#pragma once

#include <algorithm>
#include <cstring>
#include <utility>

#include "engine/kernels/registers_x86-inl.h"

namespace quantfleet::engine {
namespace {

struct Avx2 : X86 {
  using Reg = __m256;
  using Ints = __m256i;
  static constexpr int64_t kLanes = 8;
  static constexpr bool kMasked = false;
  static constexpr int kAccumulators = 8, kTurned = 2;
  static constexpr int kDotSums = 4;
  static constexpr int kPanelRegs = 2;
  static constexpr int64_t kFloatPanelColumns = 256;  // 16 KiB
  using IntegerTokens = std::integer_sequence<int, 4, 1>;
  using FloatTokens = std::integer_sequence<int, 6, 2, 1>;

  QF_INLINE Reg Set(float x) { return _mm256_set1_ps(x); }
  QF_INLINE Reg Load(const void* at) { return _mm256_loadu_ps(static_cast<const float*>(at)); }
  QF_INLINE Reg LoadHalves(const std::byte* at) { return _mm256_cvtph_ps(Bytes16(at)); }
  QF_INLINE Reg LoadBFloats(const std::byte* at) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(Bytes16(at)), 16));
  }
  QF_INLINE Reg Widened(__m128i bytes) { return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)); }
  QF_INLINE Reg LoadBytes(const std::byte* at) { return Widened(Bytes8(at)); }
  QF_INLINE void LoadNibbles(const std::byte* at, Reg* v) {
    const __m128i packed = Bytes16(at), mask = _mm_set1_epi8(15), eight = _mm_set1_epi8(8);
    const __m128i low = _mm_sub_epi8(_mm_and_si128(packed, mask), eight);
    const __m128i high = _mm_sub_epi8(_mm_and_si128(_mm_srli_epi16(packed, 4), mask), eight);
    v[0] = Widened(low);
    v[1] = Widened(_mm_srli_si128(low, 8));
    v[2] = Widened(high);
    v[3] = Widened(_mm_srli_si128(high, 8));
  }
  QF_INLINE Ints FirstLanes(int64_t count) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int32_t>(count)),
                              _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }
  QF_INLINE Reg LoadSome(const void* at, int64_t count) {
    return _mm256_maskload_ps(static_cast<const float*>(at), FirstLanes(count));
  }
  // There are no masks for elements of two bytes.
  struct alignas(16) Filled {
    std::byte bytes[16] = {};
    QF_INLINE void Fill(Filled& filled, const std::byte* at, int64_t count) {
      std::memcpy(filled.bytes, at, static_cast<size_t>(2 * std::clamp<int64_t>(count, 0, kLanes)));
    }
  };
  QF_INLINE Reg LoadSomeHalves(const std::byte* at, int64_t count) {
    Filled filled;
    Filled::Fill(filled, at, count);
    return LoadHalves(filled.bytes);
  }
  QF_INLINE Reg LoadSomeBFloats(const std::byte* at, int64_t count) {
    Filled filled;
    Filled::Fill(filled, at, count);
    return LoadBFloats(filled.bytes);
  }
  QF_INLINE void Store(Reg x, float* at) { _mm256_storeu_ps(at, x); }
  QF_INLINE void StoreSome(Reg x, float* at, int64_t count) {
    if (count >= kLanes)
      _mm256_storeu_ps(at, x);
    else
      _mm256_maskstore_ps(at, FirstLanes(count), x);
  }
  QF_INLINE void StoreHalves(Reg x, std::byte* at) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(at), _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
  }
  QF_INLINE Reg Add(Reg a, Reg b) { return _mm256_add_ps(a, b); }
  QF_INLINE Reg Sub(Reg a, Reg b) { return _mm256_sub_ps(a, b); }
  QF_INLINE Reg Div(Reg a, Reg b) { return _mm256_div_ps(a, b); }
  QF_INLINE Reg Mul(Reg a, Reg b) { return _mm256_mul_ps(a, b); }
  QF_INLINE Reg Fma(Reg a, Reg b, Reg c) { return _mm256_fmadd_ps(a, b, c); }
  QF_INLINE Reg Fnma(Reg a, Reg b, Reg c) { return _mm256_fnmadd_ps(a, b, c); }
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

  QF_INLINE Ints NoInts() { return _mm256_setzero_si256(); }
  QF_INLINE Ints LoadInts(const void* at) {
    return _mm256_loadu_si256(static_cast<const __m256i*>(at));
  }
  QF_INLINE void StoreInts(Ints x, void* at) { _mm256_storeu_si256(static_cast<__m256i*>(at), x); }
  QF_INLINE Ints SetFour(const int8_t* at) {
    return _mm256_set1_epi32(quantfleet::Load<int32_t>(reinterpret_cast<const std::byte*>(at)));
  }
  QF_INLINE Ints AddInts(Ints a, Ints b) { return _mm256_add_epi32(a, b); }
  QF_INLINE Reg ToFloats(Ints x) { return _mm256_cvtepi32_ps(x); }
  QF_INLINE Ints Bits(Reg x) { return _mm256_castps_si256(x); }
  QF_INLINE void Transpose(Ints* v) {
    Ints a[8], b[8];
    QF_UNROLL
    for (int i = 0; i < 8; i += 2) {
      a[i] = _mm256_unpacklo_epi32(v[i], v[i + 1]);
      a[i + 1] = _mm256_unpackhi_epi32(v[i], v[i + 1]);
    }
    QF_UNROLL
    for (int i = 0; i < 8; i += 4) {
      b[i] = _mm256_unpacklo_epi64(a[i], a[i + 2]);
      b[i + 1] = _mm256_unpackhi_epi64(a[i], a[i + 2]);
      b[i + 2] = _mm256_unpacklo_epi64(a[i + 1], a[i + 3]);
      b[i + 3] = _mm256_unpackhi_epi64(a[i + 1], a[i + 3]);
    }
    QF_UNROLL
    for (int j = 0; j < 4; ++j) {
      v[j] = _mm256_permute2x128_si256(b[j], b[j + 4], 0x20);
      v[j + 4] = _mm256_permute2x128_si256(b[j], b[j + 4], 0x31);
    }
  }

  // Sums of two products in 16 bits, which saturate. Codes of up to six bits keep clear of that;
  // those of eight are signed and give their sign to the other factor, since 128 * 127 fits twice.
  template <int kBits>
  struct Products {
    static constexpr int kMax = kBits == 8 ? 128 : (1 << kBits) - 1;
    static constexpr int kRun = 32767 / (2 * 127 * kMax);  // so many sums of pairs fit 16 bits
    QF_INLINE Ints Of(Ints codes, Ints signed_codes) {
      if constexpr (kBits == 8)
        return _mm256_maddubs_epi16(_mm256_abs_epi8(codes), _mm256_sign_epi8(signed_codes, codes));
      else
        return _mm256_maddubs_epi16(codes, signed_codes);
    }
    QF_INLINE Ints Add(Ints pairs, Ints codes, Ints signed_codes) {
      return _mm256_add_epi16(pairs, Of(codes, signed_codes));
    }
    // Sums in the order of the source: otherwise the compiler makes all the products first, and
    // keeps them in memory.
    QF_INLINE void Keep(Ints& pairs) { asm("" : "+x"(pairs)); }
    QF_INLINE Ints Widen(Ints pairs) { return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)); }
  };
};

}  // namespace
}  // namespace quantfleet::engine
