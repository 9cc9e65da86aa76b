// IQ2_S: 256 elements in 82 bytes: d (f16), the low bytes of the numbers of 32 points, a byte of
// signs for each, 8 bytes with the upper bit pairs of four numbers each, then 8 bytes with the
// scales of two groups of 16, low nibble first. x = d * (sc + 1/2) / 4 * point.
#include "pipeline/tensor/block_codec.h"
#include "pipeline/tensor/codebooks.h"
#include "pipeline/tensor/half.h"

namespace quantfleet::pipeline {
namespace {

struct IQ2_S {
  static constexpr DType kType = DType::kIQ2_S;
  static constexpr int kElements = 256, kBytes = 82;
  static constexpr int kSignsAt = 34, kUpperAt = 66, kScalesAt = 74;

  static void Unpack(const std::byte* block, UnpackedBlock& out) {
    const float d = HalfToFloat(Load<uint16_t>(block));
    StoreScales(d, block + kScalesAt, out.scales);
    for (int p = 0; p < kElements / 8; ++p) {
      const int upper = Load<uint8_t>(block + kUpperAt + p / 4) >> (p % 4 * 2) & 3;
      StoreSigned(kIq2SPoints[Load<uint8_t>(block + 2 + p) | upper << 8],
                  Load<uint8_t>(block + kSignsAt + p), out.codes + 8 * p);
    }
  }
};

}  // namespace

const Codec kIQ2_SCodec = MakeCodec<IQ2_S>();

}  // namespace quantfleet::pipeline
