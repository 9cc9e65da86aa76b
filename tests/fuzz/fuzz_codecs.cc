// Every twin that this machine can run against the scalar codec: the same blocks and the same
// values for any floats. Types that are only read: blocks of any bits have values.
//   byte 0: the type; byte 1: rows and importance; then values, then one row of importance where
//   there is some.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "common/base/bytes.h"
#include "pipeline/tensor/codecs.h"
#include "pipeline/tensor/simd.h"

namespace {

using namespace quantfleet;
using namespace quantfleet::pipeline;

constexpr DType kTypes[] = {
    DType::kF16, DType::kBF16, DType::kQ8_0, DType::kQ4_0, DType::kQ4_1, DType::kQ5_0, DType::kQ5_1,
    DType::kQ4_K, DType::kQ5_K, DType::kQ6_K,
    // Groups have no twins: that any floats have codes is all that is asked of them.
    GroupType({4, 64, GroupZero::kMiddle}), GroupType({8, 64, GroupZero::kMiddle}),
    GroupType({4, 32, GroupZero::kPoint}), GroupType({8, 128, GroupZero::kPoint}),
    GroupType({4, 32, GroupZero::kBias}), GroupType({8, 128, GroupZero::kBias}), DType::kQ2_K,
    DType::kQ3_K, DType::kIQ4_NL, DType::kIQ4_XS, DType::kTQ1_0, DType::kTQ2_0, DType::kMXFP4,
    DType::kNVFP4, DType::kQ1_0, DType::kQ2_0, DType::kIQ1_S, DType::kIQ1_M, DType::kIQ2_XXS,
    DType::kIQ2_XS, DType::kIQ2_S, DType::kIQ3_XXS, DType::kIQ3_S};

void Check(bool same) {
  if (!same) __builtin_trap();
}

// What a codec may be given: NaN and infinity were refused before.
std::vector<float> Finite(const uint8_t* data, size_t count, bool positive) {
  std::vector<float> values(count);
  std::memcpy(values.data(), data, count * sizeof(float));
  for (float& v : values) {
    if (!std::isfinite(v)) v = 0.f;
    if (positive) v = std::fabs(v);
  }
  return values;
}

Bytes Encode(const Codec& codec, const std::vector<float>& values, int64_t rows, int64_t cols,
             const float* importance) {
  Bytes blocks(static_cast<size_t>(rows * RowBytes(codec.type, cols)));
  codec.encode(values.data(), rows, cols, importance, blocks.data());
  return blocks;
}

void DecodeBits(const Codec& codec, const uint8_t* data, size_t size) {
  const DTypeInfo& info = Info(codec.type);
  Bytes blocks(size / static_cast<size_t>(info.block_bytes) *
               static_cast<size_t>(info.block_bytes));
  if (blocks.empty()) return;
  std::memcpy(blocks.data(), data, blocks.size());
  const int64_t n = std::ssize(blocks) / info.block_bytes * info.block_elements;
  std::vector<float> values(static_cast<size_t>(n), 1.f), decoded(static_cast<size_t>(n));
  codec.decode(blocks.data(), n, decoded.data());
  (void)codec.dot(blocks.data(), values.data(), n);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const DType type = kTypes[data[0] % std::size(kTypes)];
  if (!Info(type).made) {
    DecodeBits(*FindScalarCodec(type), data + 1, size - 1);
    return 0;
  }
  const int64_t rows = 1 + data[1] % 8;
  const bool weighed = (data[1] & 128) != 0;
  data += 2, size -= 2;
  const int64_t block = Info(type).block_elements;
  const int64_t available = static_cast<int64_t>(size / sizeof(float)) / (rows + (weighed ? 1 : 0));
  const int64_t cols = std::min<int64_t>(available, 2048) / block * block;
  if (cols == 0) return 0;
  const auto count = static_cast<size_t>(rows * cols);
  const std::vector<float> values = Finite(data, count, false);
  std::vector<float> importance;
  if (weighed) importance = Finite(data + count * sizeof(float), static_cast<size_t>(cols), true);
  const float* weights = weighed ? importance.data() : nullptr;

  const Codec& scalar = *FindScalarCodec(type);
  const Bytes blocks = Encode(scalar, values, rows, cols, weights);
  std::vector<float> decoded(count), again(count);
  scalar.decode(blocks.data(), rows * cols, decoded.data());
  for (const NamedCodec& twin : SimdTwins(type)) {
    Check(Encode(*twin.codec, values, rows, cols, weights) == blocks);
    twin.codec->decode(blocks.data(), rows * cols, again.data());
    Check(std::memcmp(decoded.data(), again.data(), count * sizeof(float)) == 0);
  }
  return 0;
}
