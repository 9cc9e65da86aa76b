// Q4_1: 32 elements in 20 bytes: scale d and min m (f16), then 16 bytes of codes u in 0..15. x = d
// * u + m, d = (max - min) / 15, m = min.
#include "pipeline/tensor/block_codec.h"
#include "pipeline/tensor/blocks32.h"

namespace quantfleet::pipeline {

const Codec kQ4_1Codec = MakeCodec<Affine32<DType::kQ4_1, 4>>();

}  // namespace quantfleet::pipeline
