#include "pipeline/tensor/part.h"

#include <cstring>

#include "pipeline/tensor/blocks32.h"

namespace quantfleet::pipeline {
namespace {

constexpr int64_t kNibbleBytes = kBlock32 / 2;

// Where a block's codes begin: behind its scale, and its minimum where it has one.
int64_t CodesAt(DType type) { return type == DType::kQ4_1 ? 4 : 2; }

// From halves apart (element j low, j + 16 high) to neighbours together (2i low, 2i + 1 high).
// `flip` turns bits of both over.
void PairNibbles(const std::byte* in, uint8_t flip, std::byte* out) {
  uint8_t codes[kBlock32], packed[kNibbleBytes];
  UnpackNibbles(in, codes);
  for (int i = 0; i < kNibbleBytes; ++i)
    packed[i] = static_cast<uint8_t>((codes[2 * i] | codes[2 * i + 1] << 4) ^ flip);
  std::memcpy(out, packed, sizeof packed);
}

uint16_t Bias(DType type, const std::byte* block) {
  if (type == DType::kQ4_1) return Load<uint16_t>(block + 2);
  const float offset = type == DType::kQ4_0 ? -8.f : -128.f;
  return FloatToHalf(offset * HalfToFloat(Load<uint16_t>(block)));
}

void TakeOfBlock(Part part, DType type, const std::byte* block, std::byte* out) {
  switch (part) {
    case Part::kBlocks:
      return;  // never comes here
    case Part::kCodes:
      if (CodeBits(type) == 4) return PairNibbles(block + CodesAt(type), 0, out);
      // q + 128 of a byte is its highest bit turned over.
      for (int i = 0; i < kBlock32; ++i) out[i] = block[CodesAt(type) + i] ^ std::byte{0x80};
      return;
    case Part::kSignedCodes:
      // u - 8 of a nibble in two's complement is its highest bit turned over.
      if (CodeBits(type) == 4) return PairNibbles(block + CodesAt(type), 0x88, out);
      std::memcpy(out, block + CodesAt(type), kBlock32);
      return;
    case Part::kScales:
      std::memcpy(out, block, 2);
      return;
    case Part::kScales32:
      return Store(out, HalfToFloat(Load<uint16_t>(block)));
    case Part::kBiases:
      return Store(out, Bias(type, block));
  }
}

}  // namespace

int CodeBits(DType type) {
  if (type == DType::kQ8_0) return 8;
  return type == DType::kQ4_0 || type == DType::kQ4_1 ? 4 : 0;
}

bool HasPart(DType type, Part part) {
  if (part == Part::kSignedCodes && type == DType::kQ4_1) return false;  // its codes have no middle
  return part == Part::kBlocks || CodeBits(type) != 0;
}

int64_t PartRowBytes(Part part, DType type, int64_t cols) {
  const int64_t blocks = cols / Info(type).block_elements;
  switch (part) {
    case Part::kBlocks:
      return RowBytes(type, cols);
    case Part::kCodes:
    case Part::kSignedCodes:
      return cols * CodeBits(type) / 8;
    case Part::kScales:
    case Part::kBiases:
      return 2 * blocks;
    case Part::kScales32:
      return 4 * blocks;
  }
  return 0;
}

void TakePart(Part part, DType type, const std::byte* blocks, int64_t rows, int64_t cols, std::byte* out) {
  if (part == Part::kBlocks) {
    std::memcpy(out, blocks, static_cast<size_t>(rows * RowBytes(type, cols)));
    return;
  }
  const DTypeInfo& info = Info(type);
  const int64_t each = PartRowBytes(part, type, info.block_elements), n = rows * cols / info.block_elements;
  for (int64_t b = 0; b < n; ++b, blocks += info.block_bytes, out += each)
    TakeOfBlock(part, type, blocks, out);
}

}  // namespace quantfleet::pipeline
