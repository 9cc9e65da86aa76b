#include "pipeline/tensor/part.h"

#include <cstring>

#include "pipeline/tensor/blocks32.h"

namespace quantfleet::pipeline {
namespace {

constexpr int64_t kNibbleBytes = kBlock32 / 2;

// From halves apart (element j low, j + 16 high) to neighbours together (2i low, 2i + 1 high).
// `flip` turns bits of both over.
void PairNibbles(const std::byte* in, uint8_t flip, std::byte* out) {
  uint8_t codes[kBlock32], packed[kNibbleBytes];
  UnpackNibbles(in, codes);
  for (int i = 0; i < kNibbleBytes; ++i)
    packed[i] = static_cast<uint8_t>((codes[2 * i] | codes[2 * i + 1] << 4) ^ flip);
  std::memcpy(out, packed, sizeof packed);
}

uint16_t Bias(const GroupScheme& scheme, const std::byte* block) {
  if (scheme.zero == GroupZero::kBias) return Load<uint16_t>(block + 2);
  const float offset = scheme.bits == 4 ? -8.f : -128.f;
  return FloatToHalf(offset * HalfToFloat(Load<uint16_t>(block)));
}

// Codes of b bits in the order of a block's elements, with their highest bits turned over where
// `flip` says so: u - 8 and u - 128 in two's complement are u with that bit turned, and back.
void TakeCodes(const GroupCodes& as, bool flip, const std::byte* block, int64_t elements,
               std::byte* out) {
  const GroupScheme& scheme = as.scheme;
  const std::byte* codes = block + CodesAt(scheme.zero);
  const auto mask = static_cast<uint8_t>(!flip ? 0 : scheme.bits == 4 ? 0x88 : 0x80);
  if (as.places == CodePlaces::kHalvesApart) return PairNibbles(codes, mask, out);
  // Eight bytes at a time: every group is a multiple of them, and a compiler that may not assume so
  // takes one. A row may have more.
  const uint64_t masks = mask * uint64_t{0x0101010101010101};
  const int64_t bytes = elements * scheme.bits / 8, whole = bytes / 8 * 8;
  for (int64_t i = 0; i < whole; i += 8) Store(out + i, Load<uint64_t>(codes + i) ^ masks);
  for (int64_t i = whole; i < bytes; ++i) out[i] = codes[i] ^ std::byte{mask};
}

void TakeOfBlock(Part part, const GroupCodes& as, const std::byte* block, int64_t elements,
                 std::byte* out) {
  const bool is_signed = as.places == CodePlaces::kSigned;
  switch (part) {
    case Part::kBlocks:
    case Part::kZeroPoints:
    case Part::kPointStream:
      return;  // never come here
    case Part::kCodes:
      return TakeCodes(as, is_signed, block, elements, out);
    case Part::kSignedCodes:
      return TakeCodes(as, !is_signed, block, elements, out);
    case Part::kScales:
      std::memcpy(out, block, 2);
      return;
    case Part::kScales32:
      return Store(out, HalfToFloat(Load<uint16_t>(block)));
    case Part::kBiases:
      return Store(out, Bias(as.scheme, block));
  }
}

// Those of any number of groups as number `at` and following of a stream, of which nothing else is
// changed.
void TakePointStream(const GroupScheme& scheme, const std::byte* blocks, int64_t count,
                     int64_t block_bytes, std::byte* out, int64_t at) {
  for (int64_t b = 0; b < count; ++b, ++at) {
    const auto point = Load<uint8_t>(blocks + b * block_bytes + 2);
    if (scheme.bits == 8) {
      out[at] = std::byte{point};
      continue;
    }
    const int shift = at % 2 == 0 ? 0 : 4;
    const auto kept = out[at / 2] & static_cast<std::byte>(0xf0 >> shift);
    out[at / 2] = kept | static_cast<std::byte>(point << shift);
  }
}

// Those of one row: bytes, or two in a byte with the last one's neighbour 0.
void TakeZeroPoints(const GroupScheme& scheme, const std::byte* blocks, int64_t count,
                    int64_t block_bytes, std::byte* out) {
  for (int64_t b = 0; b < count; ++b) {
    const auto point = Load<uint8_t>(blocks + b * block_bytes + 2);
    if (scheme.bits == 8) {
      out[b] = std::byte{point};
    } else if (b % 2 == 0) {
      out[b / 2] = std::byte{point};
    } else {
      out[b / 2] |= static_cast<std::byte>(point << 4);
    }
  }
}

}  // namespace

int CodeBits(DType type) {
  const DTypeInfo& info = Info(type);
  return info.codes ? info.codes->scheme.bits : 0;
}

bool HasPart(DType type, Part part) {
  if (part == Part::kBlocks) return true;
  const DTypeInfo& info = Info(type);
  if (!info.codes) return false;
  const GroupZero zero = info.codes->scheme.zero;
  if (part == Part::kSignedCodes) return zero == GroupZero::kMiddle;
  if (part == Part::kZeroPoints || part == Part::kPointStream) return zero == GroupZero::kPoint;
  if (part == Part::kBiases) return zero != GroupZero::kPoint;
  return true;
}

int64_t PartRowBits(Part part, DType type, int64_t cols) {
  const int64_t blocks = cols / BlockElements(type, cols);
  switch (part) {
    case Part::kBlocks:
      return 8 * RowBytes(type, cols);
    case Part::kCodes:
    case Part::kSignedCodes:
      return cols * CodeBits(type);
    case Part::kScales:
    case Part::kBiases:
      return 16 * blocks;
    case Part::kScales32:
      return 32 * blocks;
    case Part::kZeroPoints:
      return (blocks * CodeBits(type) + 7) / 8 * 8;
    case Part::kPointStream:
      return blocks * CodeBits(type);
  }
  return 0;
}

void TakePart(Part part, DType type, const std::byte* blocks, int64_t rows, int64_t cols,
              std::byte* out, int64_t first) {
  const DTypeInfo& info = Info(type);
  if (part == Part::kPointStream && info.codes) {
    const int64_t groups = cols / info.block_elements;
    TakePointStream(info.codes->scheme, blocks, rows * groups, info.block_bytes, out,
                    first * groups);
    return;
  }
  out += first * PartRowBytes(part, type, cols);
  if (part == Part::kBlocks) {
    std::memcpy(out, blocks, static_cast<size_t>(rows * RowBytes(type, cols)));
    return;
  }
  if (!info.codes) return;  // HasPart says that there is none
  const int64_t elements = BlockElements(type, cols), block_bytes = BlockBytes(type, cols),
                count = cols / elements;
  if (part == Part::kZeroPoints) {
    const int64_t each = PartRowBytes(part, type, cols);
    for (int64_t r = 0; r < rows; ++r, blocks += count * block_bytes, out += each)
      TakeZeroPoints(info.codes->scheme, blocks, count, block_bytes, out);
    return;
  }
  const int64_t each = PartRowBytes(part, type, elements);
  for (int64_t b = 0; b < rows * count; ++b, blocks += block_bytes, out += each)
    TakeOfBlock(part, *info.codes, blocks, elements, out);
}

}  // namespace quantfleet::pipeline
