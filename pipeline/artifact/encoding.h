// How a plain chunk is kept: raw, zstd, or byte planes then zstd (floats: the bytes of equal
// significance together). An encoding is never part of a chunk's identity. Pure and thread-safe.
#pragma once

#include <optional>
#include <string_view>

#include "common/base/bytes.h"
#include "common/base/status.h"

namespace quantfleet::pipeline {

inline constexpr uint32_t kMaxChunkBytes = 4u << 20;

enum class Encoding { kRaw, kZstd, kPlanes2Zstd, kPlanes4Zstd };
inline constexpr Encoding kEncodings[] = {Encoding::kRaw, Encoding::kZstd, Encoding::kPlanes2Zstd,
                                          Encoding::kPlanes4Zstd};
std::string_view Name(Encoding encoding);  // "raw" "zstd" "planes2-zstd" "planes4-zstd"
std::optional<Encoding> EncodingFromName(std::string_view name);

struct EncodedChunk {
  Encoding encoding;
  Bytes bytes;  // empty for kRaw: use the plain bytes
};

// The smallest encoding that pays (at least 1/32 saved), found by a sampled probe; element_bytes
// hints at floats (2: F16/BF16, 4: F32, 1: anything else).
EncodedChunk EncodeChunk(ByteSpan plain, int element_bytes);

// Decodes into exactly `plain.size()` bytes; stops at that size, whatever the input claims.
// DATA_LOSS otherwise.
absl::Status DecodeChunk(Encoding encoding, ByteSpan stored, MutableBytes plain);

}  // namespace quantfleet::pipeline
