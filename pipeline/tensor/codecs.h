// What the codec files and the registry share. Every codec exists as portable scalar code, which is
// the truth.
#pragma once

#include "pipeline/tensor/codec.h"

namespace quantfleet::pipeline {

extern const Codec kF32Codec;
extern const Codec kF16Codec;
extern const Codec kBF16Codec;
extern const Codec kQ8_0Codec;
extern const Codec kQ4_0Codec;
extern const Codec kQ4_1Codec;
extern const Codec kQ5_0Codec;
extern const Codec kQ5_1Codec;
extern const Codec kQ4_KCodec;
extern const Codec kQ5_KCodec;
extern const Codec kQ6_KCodec;

// Of GroupType's types that are not ggml's; null for all others.
const Codec* FindGroupCodec(DType type);

// The scalar codec, whatever this machine could do. Null as FindCodec.
const Codec* FindScalarCodec(DType type);

}  // namespace quantfleet::pipeline
