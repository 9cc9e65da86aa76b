// F32: bytes as they are.
#include <cstring>

#include "pipeline/tensor/codecs.h"
#include "pipeline/tensor/partial_sums.h"

namespace quantfleet::pipeline {
namespace {

void Encode(const float* values, int64_t rows, int64_t cols, const float*, std::byte* out) {
  std::memcpy(out, values, static_cast<size_t>(rows * cols) * sizeof(float));
}

void Decode(const std::byte* blocks, int64_t n, float* out) {
  std::memcpy(out, blocks, static_cast<size_t>(n) * sizeof(float));
}

float Dot(const std::byte* blocks, const float* x, int64_t n) {
  return DotStrips(x, n, [&](int64_t first, int64_t count, float* out) {
    Decode(blocks + 4 * first, count, out);
  });
}

}  // namespace

const Codec kF32Codec = {DType::kF32, Encode, Decode, Dot};

}  // namespace quantfleet::pipeline
