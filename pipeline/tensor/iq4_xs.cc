// IQ4_XS: 256 elements in 136 bytes: d (f16), 16 bits with the upper two of the eight sub-blocks'
// scales, 4 bytes with their low nibbles, then 16 bytes of codes for each sub-block of 32.
// x = d * (sc - 32) * kIq4Values[code].
#include "pipeline/tensor/block_codec.h"
#include "pipeline/tensor/half.h"
#include "pipeline/tensor/table_codes.h"

namespace quantfleet::pipeline {
namespace {

// Of two codes, the first in the low half of a byte, both values.
constexpr auto kPairs = [] {
  std::array<uint16_t, 256> pairs{};
  for (int byte = 0; byte < 256; ++byte)
    pairs[byte] = static_cast<uint16_t>(static_cast<uint8_t>(kIq4Values[byte & 15]) |
                                        static_cast<uint8_t>(kIq4Values[byte >> 4]) << 8);
  return pairs;
}();

// The values of eight codes, each in the low half of its byte.
void StoreValues(uint64_t codes, int8_t* out) {
  codes |= codes >> 4;  // two of them together in every other byte
  for (int i = 0; i < 4; ++i, codes >>= 16)
    std::memcpy(out + 2 * i, &kPairs[codes & 255], sizeof(uint16_t));
}

struct IQ4_XS {
  static constexpr DType kType = DType::kIQ4_XS;
  static constexpr int kElements = 256, kBytes = 136, kSubBlock = 32, kCodesAt = 8;

  static void Unpack(const std::byte* block, UnpackedBlock& out) {
    const float d = HalfToFloat(Load<uint16_t>(block));
    const auto upper = Load<uint16_t>(block + 2);
    for (int s = 0; s < kElements / kSubBlock; ++s) {
      const auto pair = Load<uint8_t>(block + 4 + s / 2);
      const int scale = (s % 2 == 0 ? pair & 15 : pair >> 4) | (upper >> (2 * s) & 3) << 4;
      out.scales[2 * s] = out.scales[2 * s + 1] = d * static_cast<float>(scale - 32);
      constexpr uint64_t kLow = 0x0f0f0f0f0f0f0f0f;
      for (int j = 0; j < kSubBlock / 2; j += 8) {
        const auto bytes = Load<uint64_t>(block + kCodesAt + s * kSubBlock / 2 + j);
        StoreValues(bytes & kLow, out.codes + s * kSubBlock + j);
        StoreValues(bytes >> 4 & kLow, out.codes + s * kSubBlock + kSubBlock / 2 + j);
      }
    }
  }
};

}  // namespace

const Codec kIQ4_XSCodec = MakeCodec<IQ4_XS>();

}  // namespace quantfleet::pipeline
