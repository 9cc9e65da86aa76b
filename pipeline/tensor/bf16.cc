// BF16: the upper half of a binary32, nearest-even, NaN quieted.
#include "pipeline/tensor/codecs.h"
#include "pipeline/tensor/half.h"

namespace quantfleet::pipeline {
namespace {

// Written once, compiled per instruction set.
[[gnu::always_inline]] inline void EncodeAll(const float* values, int64_t n, std::byte* out) {
  constexpr int64_t kStrip = 64;
  int64_t i = 0;
  for (; i + kStrip <= n; i += kStrip) {
    uint16_t strip[kStrip];
    for (int64_t j = 0; j < kStrip; ++j) strip[j] = FloatToBFloat(values[i + j]);
    std::memcpy(out + 2 * i, strip, sizeof strip);
  }
  for (; i < n; ++i) Store(out + 2 * i, FloatToBFloat(values[i]));
}

[[gnu::always_inline]] inline void DecodeAll(const std::byte* blocks, int64_t n, float* out) {
  constexpr int64_t kStrip = 64;
  int64_t i = 0;
  for (; i + kStrip <= n; i += kStrip) {
    uint16_t strip[kStrip];
    std::memcpy(strip, blocks + 2 * i, sizeof strip);
    float values[kStrip];
    for (int64_t j = 0; j < kStrip; ++j) values[j] = BFloatToFloat(strip[j]);
    std::memcpy(out + i, values, sizeof values);
  }
  for (; i < n; ++i) out[i] = BFloatToFloat(Load<uint16_t>(blocks + 2 * i));
}

void Encode(const float* values, int64_t rows, int64_t cols, const float*, std::byte* out) {
  EncodeAll(values, rows * cols, out);
}

void Decode(const std::byte* blocks, int64_t n, float* out) { DecodeAll(blocks, n, out); }

float Dot(const std::byte* blocks, const float* x, int64_t n) {
  float sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += BFloatToFloat(Load<uint16_t>(blocks + 2 * i)) * x[i];
  return sum;
}

#if defined(__x86_64__)
QF_AVX2 void EncodeAvx2(const float* values, int64_t rows, int64_t cols, const float*, std::byte* out) {
  EncodeAll(values, rows * cols, out);
}

QF_AVX2 void DecodeAvx2(const std::byte* blocks, int64_t n, float* out) { DecodeAll(blocks, n, out); }
#endif

}  // namespace

const Codec kBF16Codec = {DType::kBF16, Encode, Decode, Dot};
#if defined(__x86_64__)
const Codec kBF16CodecAvx2 = {DType::kBF16, EncodeAvx2, DecodeAvx2, Dot};
#endif

}  // namespace quantfleet::pipeline
