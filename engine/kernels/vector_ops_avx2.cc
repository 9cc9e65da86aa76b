// VectorOps for x86 with AVX2, FMA and F16C. Compiled for them function by function: nothing here
// runs elsewhere.
#if defined(__x86_64__)

#include <immintrin.h>

#define QF_TARGET __attribute__((target("avx2,fma,f16c")))
#include "common/base/bytes.h"
#include "engine/kernels/fetch_ahead-inl.h"
#include "engine/kernels/unroll.h"
#include "engine/kernels/vector_ops.h"
#include "pipeline/tensor/codec.h"
#include "pipeline/tensor/half.h"

namespace quantfleet::engine {
namespace {

using pipeline::DType;

constexpr int64_t kStep = 32;  // elements per round: four accumulators of eight

// How 32 elements come out of their bytes, and a single one at the end of a row.
struct F32 {
  static constexpr int64_t kStepBytes = 128;
  QF_INLINE void Load32(const std::byte* at, __m256* v) {
    QF_UNROLL
    for (int i = 0; i < 4; ++i) v[i] = _mm256_loadu_ps(reinterpret_cast<const float*>(at) + 8 * i);
  }
  QF_INLINE float One(const std::byte* row, int64_t i) { return Load<float>(row + 4 * i); }
};

struct F16 {
  static constexpr int64_t kStepBytes = 64;
  QF_INLINE void Load32(const std::byte* at, __m256* v) {
    QF_UNROLL
    for (int i = 0; i < 4; ++i)
      v[i] = _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at) + i));
  }
  QF_INLINE float One(const std::byte* row, int64_t i) {
    return pipeline::HalfToFloat(Load<uint16_t>(row + 2 * i));
  }
};

struct BF16 {
  static constexpr int64_t kStepBytes = 64;
  QF_INLINE void Load32(const std::byte* at, __m256* v) {
    QF_UNROLL
    for (int i = 0; i < 4; ++i) {
      const __m256i wide =
          _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at) + i));
      v[i] = _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
    }
  }
  QF_INLINE float One(const std::byte* row, int64_t i) {
    return pipeline::BFloatToFloat(Load<uint16_t>(row + 2 * i));
  }
};

QF_INLINE __m256 Scale(const std::byte* at) {
  return _mm256_set1_ps(pipeline::HalfToFloat(Load<uint16_t>(at)));
}

// Eight signed bytes, times the scale.
QF_INLINE __m256 Widen(__m128i codes, __m256 scale) {
  return _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(codes)), scale);
}

struct Q8_0 {
  static constexpr int64_t kStepBytes = 34;
  QF_INLINE void Load32(const std::byte* at, __m256* v) {
    const __m256 scale = Scale(at);
    QF_UNROLL
    for (int i = 0; i < 4; ++i)
      v[i] = Widen(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(at + 2 + 8 * i)), scale);
  }
  // Rows are whole blocks: there is no end.
  QF_INLINE float One(const std::byte*, int64_t) { return 0; }
};

struct Q4_0 {
  static constexpr int64_t kStepBytes = 18;
  QF_INLINE void Load32(const std::byte* at, __m256* v) {
    const __m256 scale = Scale(at);
    const __m128i packed = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at + 2));
    const __m128i mask = _mm_set1_epi8(15), eight = _mm_set1_epi8(8);
    const __m128i low = _mm_sub_epi8(_mm_and_si128(packed, mask), eight);
    const __m128i high = _mm_sub_epi8(_mm_and_si128(_mm_srli_epi16(packed, 4), mask), eight);
    v[0] = Widen(low, scale);
    v[1] = Widen(_mm_srli_si128(low, 8), scale);
    v[2] = Widen(high, scale);
    v[3] = Widen(_mm_srli_si128(high, 8), scale);
  }
  QF_INLINE float One(const std::byte*, int64_t) { return 0; }
};

QF_INLINE float Sum(const __m256* parts) {
  const __m256 all =
      _mm256_add_ps(_mm256_add_ps(parts[0], parts[1]), _mm256_add_ps(parts[2], parts[3]));
  __m128 sum = _mm_add_ps(_mm256_castps256_ps128(all), _mm256_extractf128_ps(all, 1));
  sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
  return _mm_cvtss_f32(_mm_add_ss(sum, _mm_movehdup_ps(sum)));
}

// The order of the sum depends on n alone, not on the format: see vector_ops.h.
template <typename Format>
QF_TARGET float RowDotAvx2(const std::byte* row, const float* x, int64_t n) {
  __m256 sums[4] = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(),
                    _mm256_setzero_ps()};
  int64_t i = 0;
  for (; i + kStep <= n; i += kStep) {
    __m256 v[4];
    FetchAhead<Format::kStepBytes>(row + i / kStep * Format::kStepBytes);
    Format::Load32(row + i / kStep * Format::kStepBytes, v);
    QF_UNROLL
    for (int j = 0; j < 4; ++j)
      sums[j] = _mm256_fmadd_ps(v[j], _mm256_loadu_ps(x + i + 8 * j), sums[j]);
  }
  float sum = Sum(sums);
  for (; i < n; ++i) sum = __builtin_fmaf(Format::One(row, i), x[i], sum);
  return sum;
}

template <typename Format>
QF_TARGET void RowDecodeAvx2(const std::byte* row, int64_t n, float* out) {
  int64_t i = 0;
  for (; i + kStep <= n; i += kStep) {
    __m256 v[4];
    FetchAhead<Format::kStepBytes>(row + i / kStep * Format::kStepBytes);
    Format::Load32(row + i / kStep * Format::kStepBytes, v);
    QF_UNROLL
    for (int j = 0; j < 4; ++j) _mm256_storeu_ps(out + i + 8 * j, v[j]);
  }
  for (; i < n; ++i) out[i] = Format::One(row, i);
}

QF_TARGET float DotAvx2(const float* a, const float* b, int64_t n) {
  return RowDotAvx2<F32>(reinterpret_cast<const std::byte*>(a), b, n);
}

RowDot FindRowDot(DType type) {
  switch (type) {
    case DType::kF32:
      return RowDotAvx2<F32>;
    case DType::kF16:
      return RowDotAvx2<F16>;
    case DType::kBF16:
      return RowDotAvx2<BF16>;
    case DType::kQ8_0:
      return RowDotAvx2<Q8_0>;
    case DType::kQ4_0:
      return RowDotAvx2<Q4_0>;
    default:
      return ScalarOps().row_dot(type);
  }
}

RowDecode FindRowDecode(DType type) {
  switch (type) {
    case DType::kF32:
      return RowDecodeAvx2<F32>;
    case DType::kF16:
      return RowDecodeAvx2<F16>;
    case DType::kBF16:
      return RowDecodeAvx2<BF16>;
    case DType::kQ8_0:
      return RowDecodeAvx2<Q8_0>;
    case DType::kQ4_0:
      return RowDecodeAvx2<Q4_0>;
    default:
      return ScalarOps().row_decode(type);
  }
}

}  // namespace

const VectorOps& Avx2Ops() {
  static constexpr VectorOps kOps = {DotAvx2, FindRowDot, FindRowDecode};
  return kOps;
}

}  // namespace quantfleet::engine

#endif
