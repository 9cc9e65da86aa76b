// Q8_0: 32 elements in 34 bytes: scale d (f16), then 32 signed codes q. x = d * q, d = amax / 127.
#include "pipeline/tensor/block_math.h"
#include "pipeline/tensor/codecs.h"
#include "pipeline/tensor/half.h"

namespace quantfleet::pipeline {
namespace {

constexpr int kElements = 32;
constexpr int kBlockBytes = 34;

[[gnu::always_inline]] inline void EncodeBlock(const float* x, std::byte* out) {
  const float d = MaxMagnitude<kElements>(x) / 127.f;
  const float reciprocal = Reciprocal(d);
  int8_t codes[kElements];
  for (int i = 0; i < kElements; ++i) codes[i] = static_cast<int8_t>(RoundHalfAway(x[i] * reciprocal));
  Store(out, FloatToHalf(d));
  std::memcpy(out + 2, codes, sizeof codes);
}

[[gnu::always_inline]] inline void DecodeBlock(const std::byte* block, float* out) {
  const float d = HalfToFloat(Load<uint16_t>(block));
  int8_t codes[kElements];
  std::memcpy(codes, block + 2, sizeof codes);
  for (int i = 0; i < kElements; ++i) out[i] = static_cast<float>(codes[i]) * d;
}

[[gnu::always_inline]] inline void EncodeAll(const float* values, int64_t n, std::byte* out) {
  for (int64_t b = 0; b < n / kElements; ++b) EncodeBlock(values + b * kElements, out + b * kBlockBytes);
}

[[gnu::always_inline]] inline void DecodeAll(const std::byte* blocks, int64_t n, float* out) {
  for (int64_t b = 0; b < n / kElements; ++b) DecodeBlock(blocks + b * kBlockBytes, out + b * kElements);
}

// The reference ignores importance for this type.
void Encode(const float* values, int64_t rows, int64_t cols, const float*, std::byte* out) {
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
QF_AVX2 void EncodeAvx2(const float* values, int64_t rows, int64_t cols, const float*, std::byte* out) {
  EncodeAll(values, rows * cols, out);
}

QF_AVX2 void DecodeAvx2(const std::byte* blocks, int64_t n, float* out) { DecodeAll(blocks, n, out); }
#endif

}  // namespace

const Codec kQ8_0Codec = {DType::kQ8_0, Encode, Decode, Dot};
#if defined(__x86_64__)
const Codec kQ8_0CodecAvx2 = {DType::kQ8_0, EncodeAvx2, DecodeAvx2, Dot};
#endif

}  // namespace quantfleet::pipeline
