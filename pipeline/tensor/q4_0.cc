// Q4_0: 32 elements in 18 bytes: scale d (f16), then 16 bytes of codes u in 0..15. x = d * (u - 8),
// d = (the signed value of largest magnitude) / -8.
#include "pipeline/tensor/block_codec.h"
#include "pipeline/tensor/blocks32.h"

namespace quantfleet::pipeline {

const Codec kQ4_0Codec = MakeCodec<Symmetric32<DType::kQ4_0, 4>>();

}  // namespace quantfleet::pipeline
