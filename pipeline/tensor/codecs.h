// What the codec files and the registry share. Every codec exists as portable scalar code, which is
// the truth; traits.h names them all.
#pragma once

#include <span>

#include "pipeline/tensor/codec.h"

namespace quantfleet::pipeline {

// The scalar codec, whatever this machine could do. Null as FindCodec.
const Codec* FindScalarCodec(DType type);

// The one of `codecs` for the type, or null.
inline const Codec* FindAmong(std::span<const Codec> codecs, DType type) {
  for (const Codec& codec : codecs)
    if (codec.type == type) return &codec;
  return nullptr;
}

}  // namespace quantfleet::pipeline
