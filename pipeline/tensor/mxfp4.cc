// MXFP4 (mxfp4.h).
#include "pipeline/tensor/mxfp4.h"

#include "pipeline/tensor/block_codec.h"
#include "pipeline/tensor/table_codes.h"

namespace quantfleet::pipeline {
namespace {

struct MXFP4 {
  static constexpr DType kType = DType::kMXFP4;
  static constexpr int kElements = 32, kBytes = 17;

  static void Decode(const std::byte* block, float* x) {
    DecodeTableCodes<kElements>(kFp4Values, HalvedE8M0(Load<uint8_t>(block)), block + 1, x);
  }
};

}  // namespace

const Codec kMXFP4Codec = MakeCodec<MXFP4>();

}  // namespace quantfleet::pipeline
