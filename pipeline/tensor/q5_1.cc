// Q5_1: 32 elements in 24 bytes: scale d and min m (f16), 32 high bits, then 16 bytes of low
// nibbles; codes u in 0..31. x = d * u + m, d = (max - min) / 31, m = min.
#include "pipeline/tensor/block_codec.h"
#include "pipeline/tensor/blocks32.h"

namespace quantfleet::pipeline {

const Codec kQ5_1Codec = MakeCodec<Affine32<DType::kQ5_1, 5>>();

}  // namespace quantfleet::pipeline
