// What the codec files and the registry share. Every codec exists as portable scalar code, which is the
// truth; on x86 a twin compiled for AVX2 and F16C may stand beside it and gives the same bits (the tests
// compare them).
#pragma once

#include "pipeline/tensor/codec.h"

namespace quantfleet::pipeline {

extern const Codec kF32Codec;
extern const Codec kF16Codec;
extern const Codec kBF16Codec;
extern const Codec kQ8_0Codec;
extern const Codec kQ4_0Codec;

#if defined(__x86_64__)
#define QF_AVX2 __attribute__((target("avx2,f16c")))  // without fma: a fused multiply-add rounds differently
extern const Codec kF16CodecAvx2;
extern const Codec kBF16CodecAvx2;
extern const Codec kQ8_0CodecAvx2;
extern const Codec kQ4_0CodecAvx2;
#endif

// The scalar codec, whatever this machine could do. Null as FindCodec.
const Codec* FindScalarCodec(DType type);

}  // namespace quantfleet::pipeline
