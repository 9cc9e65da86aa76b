// Q5_0: 32 elements in 22 bytes: scale d (f16), 32 high bits, then 16 bytes of low nibbles; codes u
// in 0..31. x = d * (u - 16), d = (the signed value of largest magnitude) / -16.
#include "pipeline/tensor/block_codec.h"
#include "pipeline/tensor/blocks32.h"

namespace quantfleet::pipeline {

const Codec kQ5_0Codec = MakeCodec<Symmetric32<DType::kQ5_0, 5>>();

}  // namespace quantfleet::pipeline
