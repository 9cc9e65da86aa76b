// F16: IEEE binary16, nearest-even.
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "pipeline/tensor/codecs.h"
#include "pipeline/tensor/half.h"

namespace quantfleet::pipeline {
namespace {

void Encode(const float* values, int64_t rows, int64_t cols, const float*, std::byte* out) {
  const int64_t n = rows * cols;
  for (int64_t i = 0; i < n; ++i) Store(out + 2 * i, FloatToHalf(values[i]));
}

void Decode(const std::byte* blocks, int64_t n, float* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = HalfToFloat(Load<uint16_t>(blocks + 2 * i));
}

float Dot(const std::byte* blocks, const float* x, int64_t n) {
  float sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += HalfToFloat(Load<uint16_t>(blocks + 2 * i)) * x[i];
  return sum;
}

#if defined(__x86_64__)
QF_AVX2 void EncodeAvx2(const float* values, int64_t rows, int64_t cols, const float*, std::byte* out) {
  const int64_t n = rows * cols;
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    const __m128i half = _mm256_cvtps_ph(_mm256_loadu_ps(values + i), _MM_FROUND_TO_NEAREST_INT);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + 2 * i), half);
  }
  for (; i < n; ++i) Store(out + 2 * i, FloatToHalf(values[i]));
}

QF_AVX2 void DecodeAvx2(const std::byte* blocks, int64_t n, float* out) {
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    const __m128i half = _mm_loadu_si128(reinterpret_cast<const __m128i*>(blocks + 2 * i));
    _mm256_storeu_ps(out + i, _mm256_cvtph_ps(half));
  }
  for (; i < n; ++i) out[i] = HalfToFloat(Load<uint16_t>(blocks + 2 * i));
}
#endif

}  // namespace

const Codec kF16Codec = {DType::kF16, Encode, Decode, Dot};
#if defined(__x86_64__)
const Codec kF16CodecAvx2 = {DType::kF16, EncodeAvx2, DecodeAvx2, Dot};
#endif

}  // namespace quantfleet::pipeline
