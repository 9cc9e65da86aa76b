// The codecs' twins for AVX2, AVX-512 and NEON, chosen at run time. A twin gives the scalar codec's
// bits: searches whose float sums are order-sensitive put different blocks in different lanes, and
// what a lane cannot do exactly goes to the scalar code.
#pragma once

#include <string>
#include <vector>

#include "pipeline/tensor/codec.h"

namespace quantfleet::pipeline {

// The best twin for this machine, or null.
const Codec* FindSimdCodec(DType type);

struct NamedCodec {
  std::string name;  // of the instruction set: "AVX2"
  const Codec* codec;
};
// Every twin that this machine can run, for tests and measurements. Not thread-safe.
std::vector<NamedCodec> SimdTwins(DType type);

}  // namespace quantfleet::pipeline
