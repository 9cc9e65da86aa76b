// Q4_0: 32 elements in 18 bytes: scale d (f16), then 16 bytes of codes u in 0..15; byte j holds element j in
// its low nibble and element j + 16 in its high one. x = d * (u - 8), d = (the signed value of largest
// magnitude) / -8.
//
// With importance the scale is searched: 19 candidates, each refined by weighted least squares.
#include <algorithm>
#include <cmath>

#include "pipeline/tensor/block_math.h"
#include "pipeline/tensor/codecs.h"
#include "pipeline/tensor/half.h"

namespace quantfleet::pipeline {
namespace {

constexpr int kElements = 32;
constexpr int kHalf = kElements / 2;
constexpr int kBlockBytes = 18;

// The value whose magnitude is largest, the first of equals.
[[gnu::always_inline]] inline float SignedMax(const float* x) {
  const float largest = MaxMagnitude<kElements>(x);
  for (int i = 0; i < kElements; ++i) {
    if (std::fabs(x[i]) == largest) return largest == 0.f ? 0.f : x[i];
  }
  return 0.f;
}

[[gnu::always_inline]] inline void Pack(const uint8_t* codes, std::byte* out) {
  uint8_t packed[kHalf];
  for (int j = 0; j < kHalf; ++j) packed[j] = static_cast<uint8_t>(codes[j] | codes[j + kHalf] << 4);
  std::memcpy(out, packed, sizeof packed);
}

[[gnu::always_inline]] inline void EncodeBlock(const float* x, std::byte* out) {
  const float d = SignedMax(x) / -8.f;
  const float reciprocal = Reciprocal(d);
  uint8_t codes[kElements];
  for (int i = 0; i < kElements; ++i) {
    const int32_t code = ToByteInt(x[i] * reciprocal + 8.5f);
    codes[i] = static_cast<uint8_t>(code > 15 ? 15 : code);
  }
  Store(out, FloatToHalf(d));
  Pack(codes, out + 2);
}

[[gnu::always_inline]] inline void DecodeBlock(const std::byte* block, float* out) {
  const float d = HalfToFloat(Load<uint16_t>(block));
  uint8_t packed[kHalf];
  std::memcpy(packed, block + 2, sizeof packed);
  for (int j = 0; j < kHalf; ++j) out[j] = static_cast<float>((packed[j] & 15) - 8) * d;
  for (int j = 0; j < kHalf; ++j) out[j + kHalf] = static_cast<float>((packed[j] >> 4) - 8) * d;
}

struct Fit {
  float sum_lx = 0, sum_l2 = 0;
};

// Codes for one candidate and the sums that its least-squares scale follows from.
Fit Quantize(const float* x, const float* weights, float inverse_scale, uint8_t* codes) {
  Fit fit;
  for (int i = 0; i < kElements; ++i) {
    const int32_t level = std::clamp(NearestInt(inverse_scale * x[i]), -8, 7);
    codes[i] = static_cast<uint8_t>(level + 8);
    const float l = static_cast<float>(level);
    fit.sum_lx += weights[i] * x[i] * l;
    fit.sum_l2 += weights[i] * l * l;
  }
  return fit;
}

// Returns the scale; codes hold the best candidate's.
float SearchScale(const float* x, const float* weights, uint8_t* codes) {
  const float max = SignedMax(x);
  if (std::fabs(max) < 1e-15f) {
    std::fill_n(codes, kElements, uint8_t{0});
    return 0;
  }
  const Fit first = Quantize(x, weights, -8.f / max, codes);
  float scale = first.sum_l2 != 0.f ? first.sum_lx / first.sum_l2 : 0.f;
  float best = scale * first.sum_lx;
  for (int step = -9; step <= 9; ++step) {
    if (step == 0) continue;
    uint8_t candidate[kElements];
    const Fit fit = Quantize(x, weights, -(8.f + 0.1f * static_cast<float>(step)) / max, candidate);
    if (fit.sum_l2 > 0 && fit.sum_lx * fit.sum_lx > best * fit.sum_l2) {
      std::copy_n(candidate, kElements, codes);
      scale = fit.sum_lx / fit.sum_l2;
      best = scale * fit.sum_lx;
    }
  }
  return scale;
}

// Weights are importance * sqrt(mean square of the row + x^2).
void EncodeWeighted(const float* row, int64_t cols, const float* importance, std::byte* out) {
  float sum = 0;
  for (int64_t i = 0; i < cols; ++i) sum += row[i] * row[i];
  const float variance = sum / static_cast<float>(cols);
  for (int64_t b = 0; b < cols / kElements; ++b) {
    const float* x = row + b * kElements;
    float weights[kElements];
    for (int i = 0; i < kElements; ++i)
      weights[i] = importance[b * kElements + i] * std::sqrt(variance + x[i] * x[i]);
    uint8_t codes[kElements];
    Store(out + b * kBlockBytes, FloatToHalf(SearchScale(x, weights, codes)));
    Pack(codes, out + b * kBlockBytes + 2);
  }
}

void EncodeAllWeighted(const float* values, int64_t rows, int64_t cols, const float* importance,
                       std::byte* out) {
  for (int64_t r = 0; r < rows; ++r)
    EncodeWeighted(values + r * cols, cols, importance, out + r * RowBytes(DType::kQ4_0, cols));
}

[[gnu::always_inline]] inline void EncodeAll(const float* values, int64_t n, std::byte* out) {
  for (int64_t b = 0; b < n / kElements; ++b) EncodeBlock(values + b * kElements, out + b * kBlockBytes);
}

[[gnu::always_inline]] inline void DecodeAll(const std::byte* blocks, int64_t n, float* out) {
  for (int64_t b = 0; b < n / kElements; ++b) DecodeBlock(blocks + b * kBlockBytes, out + b * kElements);
}

void Encode(const float* values, int64_t rows, int64_t cols, const float* importance, std::byte* out) {
  if (importance != nullptr) return EncodeAllWeighted(values, rows, cols, importance, out);
  EncodeAll(values, rows * cols, out);
}

void Decode(const std::byte* blocks, int64_t n, float* out) { DecodeAll(blocks, n, out); }

float Dot(const std::byte* blocks, const float* x, int64_t n) {
  float sum = 0;
  for (int64_t b = 0; b < n / kElements; ++b) {
    float decoded[kElements];
    DecodeBlock(blocks + b * kBlockBytes, decoded);
    for (int i = 0; i < kElements; ++i) sum += decoded[i] * x[b * kElements + i];
  }
  return sum;
}

#if defined(__x86_64__)
QF_AVX2 void EncodeAvx2(const float* values, int64_t rows, int64_t cols, const float* importance,
                        std::byte* out) {
  if (importance != nullptr) return EncodeAllWeighted(values, rows, cols, importance, out);
  EncodeAll(values, rows * cols, out);
}

QF_AVX2 void DecodeAvx2(const std::byte* blocks, int64_t n, float* out) { DecodeAll(blocks, n, out); }
#endif

}  // namespace

const Codec kQ4_0Codec = {DType::kQ4_0, Encode, Decode, Dot};
#if defined(__x86_64__)
const Codec kQ4_0CodecAvx2 = {DType::kQ4_0, EncodeAvx2, DecodeAvx2, Dot};
#endif

}  // namespace quantfleet::pipeline
