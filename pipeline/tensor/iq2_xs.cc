// IQ2_XS: 256 elements in 74 bytes: d (f16), 32 words of 16 bits with the number of a point (9
// bits) and seven signs, then 8 bytes with the scales of two groups of 16, low nibble first. x = d
// * (sc + 1/2) / 4 * point.
#include "pipeline/tensor/block_codec.h"
#include "pipeline/tensor/codebooks.h"
#include "pipeline/tensor/half.h"

namespace quantfleet::pipeline {
namespace {

struct IQ2_XS {
  static constexpr DType kType = DType::kIQ2_XS;
  static constexpr int kElements = 256, kBytes = 74, kScalesAt = 66;

  static void Unpack(const std::byte* block, UnpackedBlock& out) {
    const float d = HalfToFloat(Load<uint16_t>(block));
    StoreScales(d, block + kScalesAt, out.scales);
    for (int p = 0; p < kElements / 8; ++p) {
      const auto word = Load<uint16_t>(block + 2 + 2 * p);
      StoreSigned(kIq2XsPoints[word & 511], EvenSigns(word >> 9), out.codes + 8 * p);
    }
  }
};

}  // namespace

const Codec kIQ2_XSCodec = MakeCodec<IQ2_XS>();

}  // namespace quantfleet::pipeline
