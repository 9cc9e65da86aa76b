// The codecs of all group schemes that are not ggml's.
#include "pipeline/tensor/groups.h"

#include <array>

#include "pipeline/tensor/block_codec.h"

namespace quantfleet::pipeline {
namespace {

template <int kBits, GroupZero kZero>
constexpr std::array kOfLargeGroups = {MakeCodec<GroupBlock<kBits, 64, kZero>>(),
                                       MakeCodec<GroupBlock<kBits, 128, kZero>>()};

constexpr std::array kOf32 = {MakeCodec<GroupBlock<4, 32, GroupZero::kPoint>>(),
                              MakeCodec<GroupBlock<4, 32, GroupZero::kBias>>(),
                              MakeCodec<GroupBlock<8, 32, GroupZero::kPoint>>(),
                              MakeCodec<GroupBlock<8, 32, GroupZero::kBias>>()};

}  // namespace

const Codec* FindGroupCodec(DType type) {
  for (const std::span<const Codec> codecs :
       {std::span<const Codec>(kOf32),
        std::span<const Codec>(kOfLargeGroups<4, GroupZero::kMiddle>),
        std::span<const Codec>(kOfLargeGroups<4, GroupZero::kPoint>),
        std::span<const Codec>(kOfLargeGroups<4, GroupZero::kBias>),
        std::span<const Codec>(kOfLargeGroups<8, GroupZero::kMiddle>),
        std::span<const Codec>(kOfLargeGroups<8, GroupZero::kPoint>),
        std::span<const Codec>(kOfLargeGroups<8, GroupZero::kBias>)})
    for (const Codec& codec : codecs)
      if (codec.type == type) return &codec;
  return nullptr;
}

}  // namespace quantfleet::pipeline
