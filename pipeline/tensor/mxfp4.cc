// MXFP4 (mxfp4.h).
#include "pipeline/tensor/mxfp4.h"

#include <cmath>

#include "pipeline/tensor/block_codec.h"
#include "pipeline/tensor/block_math.h"
#include "pipeline/tensor/table_codes.h"

namespace quantfleet::pipeline {
namespace {

struct MXFP4 {
  static constexpr DType kType = DType::kMXFP4;
  static constexpr int kElements = 32, kBytes = 17;

  // The nearest values, of two as near the smaller; those below 0 come second in the table. Loops
  // over a block, which vectorize.
  static void FindCodes(const float* x, float halved_scale, int32_t* codes) {
    float magnitudes[kElements];
    for (int i = 0; i < kElements; ++i) {
      magnitudes[i] = std::fabs(x[i]);
      codes[i] = 0;
    }
    for (const float middle : kFp4Middles) {
      const float least = middle * halved_scale;
      for (int i = 0; i < kElements; ++i) codes[i] += magnitudes[i] > least ? 1 : 0;
    }
    for (int i = 0; i < kElements; ++i) codes[i] += codes[i] > 0 && x[i] < 0 ? 8 : 0;
  }

  static void Encode(const float* x, std::byte* block) {
    const uint8_t e = E8M0For(MaxMagnitude<kElements>(x));
    int32_t codes[kElements];
    FindCodes(x, HalvedE8M0(e), codes);
    uint8_t packed[kElements / 2];
    for (int j = 0; j < kElements / 2; ++j)
      packed[j] = static_cast<uint8_t>(codes[j] | codes[j + kElements / 2] << 4);
    Store(block, e);
    std::memcpy(block + 1, packed, sizeof packed);
  }

  static void Decode(const std::byte* block, float* x) {
    DecodeTableCodes<kElements>(kFp4Values, HalvedE8M0(Load<uint8_t>(block)), block + 1, x);
  }
};

}  // namespace

const Codec kMXFP4Codec = MakeCodec<MXFP4>();

}  // namespace quantfleet::pipeline
