// What the descriptions of x86's registers share. Included by a file that defines QF_TARGET;
// private to it.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "common/base/bytes.h"
#include "engine/kernels/unroll.h"

namespace quantfleet::engine {
namespace {

struct X86 {
  QF_INLINE __m128i Bytes16(const std::byte* at) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
  }
  QF_INLINE __m128i Bytes8(const std::byte* at) {
    return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(at));
  }
  QF_INLINE __m256i Bytes32(const std::byte* at) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at));
  }
  QF_INLINE float Half(const std::byte* at) {
    return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(Load<uint16_t>(at))));
  }
  QF_INLINE void Fetch(const std::byte* at, int64_t bytes) {
    for (int64_t i = 0; i < bytes; i += 64)
      _mm_prefetch(reinterpret_cast<const char*>(at) + i, _MM_HINT_T0);
  }
  // For kernels that go through a matrix row by row: rows follow each other in memory, and what the
  // processor fetches ahead by itself stops at each page.
  template <int kBytes>
  QF_INLINE void FetchAhead(const std::byte* at) {
    QF_UNROLL
    for (int i = 0; i < kBytes; i += 64)
      _mm_prefetch(reinterpret_cast<const char*>(at) + 1024 + i, _MM_HINT_T0);
  }
  // The sums of four registers.
  QF_INLINE void SumOf4(__m256 a, __m256 b, __m256 c, __m256 d, float* sums) {
    const __m256 pairs = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
    _mm_storeu_ps(sums, _mm_add_ps(_mm256_castps256_ps128(pairs), _mm256_extractf128_ps(pairs, 1)));
  }
  QF_INLINE float SumOf(__m256 x) {
    __m128 sum = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
    return _mm_cvtss_f32(_mm_add_ss(sum, _mm_movehdup_ps(sum)));
  }
  QF_INLINE float GreatestOf(__m256 x) {
    __m128 most = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    most = _mm_max_ps(most, _mm_movehl_ps(most, most));
    return _mm_cvtss_f32(_mm_max_ss(most, _mm_movehdup_ps(most)));
  }
};

}  // namespace
}  // namespace quantfleet::engine
