// IQ4_NL (iq4.h).
#include "pipeline/tensor/block_codec.h"
#include "pipeline/tensor/iq4.h"

namespace quantfleet::pipeline {
namespace {

struct IQ4_NL : Iq4Nl {
  static void Encode(const float* x, std::byte* block) { EncodeIq4<Iq4Nl>(x, nullptr, block); }
  static void EncodeWeighted(const float* x, const float* importance, float, std::byte* block) {
    EncodeIq4<Iq4Nl>(x, importance, block);
  }
  static void Decode(const std::byte* block, float* x) {
    DecodeTableCodes<kElements>(kIq4Values, HalfToFloat(Load<uint16_t>(block)), block + kCodesAt,
                                x);
  }
};

}  // namespace

const Codec kIQ4_NLCodec = MakeCodec<IQ4_NL>();

}  // namespace quantfleet::pipeline
