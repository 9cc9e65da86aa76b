// The codecs of all group schemes that are not ggml's.
#include "pipeline/tensor/groups.h"

#include "pipeline/tensor/block_codec.h"

namespace quantfleet::pipeline {

const Codec kU4_G32Codec = MakeCodec<GroupBlock<4, 32, GroupZero::kPoint>>();
const Codec kA4_G32Codec = MakeCodec<GroupBlock<4, 32, GroupZero::kBias>>();
const Codec kI4_G64Codec = MakeCodec<GroupBlock<4, 64, GroupZero::kMiddle>>();
const Codec kU4_G64Codec = MakeCodec<GroupBlock<4, 64, GroupZero::kPoint>>();
const Codec kA4_G64Codec = MakeCodec<GroupBlock<4, 64, GroupZero::kBias>>();
const Codec kI4_G128Codec = MakeCodec<GroupBlock<4, 128, GroupZero::kMiddle>>();
const Codec kU4_G128Codec = MakeCodec<GroupBlock<4, 128, GroupZero::kPoint>>();
const Codec kA4_G128Codec = MakeCodec<GroupBlock<4, 128, GroupZero::kBias>>();
const Codec kU8_G32Codec = MakeCodec<GroupBlock<8, 32, GroupZero::kPoint>>();
const Codec kA8_G32Codec = MakeCodec<GroupBlock<8, 32, GroupZero::kBias>>();
const Codec kI8_G64Codec = MakeCodec<GroupBlock<8, 64, GroupZero::kMiddle>>();
const Codec kU8_G64Codec = MakeCodec<GroupBlock<8, 64, GroupZero::kPoint>>();
const Codec kA8_G64Codec = MakeCodec<GroupBlock<8, 64, GroupZero::kBias>>();
const Codec kI8_G128Codec = MakeCodec<GroupBlock<8, 128, GroupZero::kMiddle>>();
const Codec kU8_G128Codec = MakeCodec<GroupBlock<8, 128, GroupZero::kPoint>>();
const Codec kA8_G128Codec = MakeCodec<GroupBlock<8, 128, GroupZero::kBias>>();
const Codec kI4_G16Codec = MakeCodec<GroupBlock<4, 16, GroupZero::kMiddle>>();
const Codec kU4_G16Codec = MakeCodec<GroupBlock<4, 16, GroupZero::kPoint>>();
const Codec kI4_G256Codec = MakeCodec<GroupBlock<4, 256, GroupZero::kMiddle>>();
const Codec kU4_G256Codec = MakeCodec<GroupBlock<4, 256, GroupZero::kPoint>>();
const Codec kI8_G16Codec = MakeCodec<GroupBlock<8, 16, GroupZero::kMiddle>>();
const Codec kU8_G16Codec = MakeCodec<GroupBlock<8, 16, GroupZero::kPoint>>();
const Codec kI8_G256Codec = MakeCodec<GroupBlock<8, 256, GroupZero::kMiddle>>();
const Codec kU8_G256Codec = MakeCodec<GroupBlock<8, 256, GroupZero::kPoint>>();

}  // namespace quantfleet::pipeline
