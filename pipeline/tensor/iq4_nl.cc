// IQ4_NL: 32 elements in 18 bytes: scale d (f16), then 16 bytes of codes. x = d * kIq4Values[code].
#include "pipeline/tensor/block_codec.h"
#include "pipeline/tensor/half.h"
#include "pipeline/tensor/table_codes.h"

namespace quantfleet::pipeline {
namespace {

struct IQ4_NL {
  static constexpr DType kType = DType::kIQ4_NL;
  static constexpr int kElements = 32, kBytes = 18;

  static void Decode(const std::byte* block, float* x) {
    DecodeTableCodes<kElements>(kIq4Values, HalfToFloat(Load<uint16_t>(block)), block + 2, x);
  }
};

}  // namespace

const Codec kIQ4_NLCodec = MakeCodec<IQ4_NL>();

}  // namespace quantfleet::pipeline
