#include "pipeline/tensor/rounding/block_grid.h"

#include "pipeline/tensor/affine_k.h"
#include "pipeline/tensor/blocks32.h"
#include "pipeline/tensor/q2_k.h"
#include "pipeline/tensor/q3_k.h"
#include "pipeline/tensor/symmetric_k.h"

namespace quantfleet::pipeline {
namespace {

float HalfAt(const std::byte* at) { return HalfToFloat(Load<uint16_t>(at)); }

void MiddleGrids(const std::byte* block, CodeGrid* out) { *out = {HalfAt(block), 0.f}; }

void PointGrids(const std::byte* block, CodeGrid* out) {
  const float scale = HalfAt(block);
  *out = {scale, -scale * static_cast<float>(Load<uint8_t>(block + 2))};
}

void BiasGrids(const std::byte* block, CodeGrid* out) { *out = {HalfAt(block), HalfAt(block + 2)}; }

void AffineKGrids(const std::byte* block, CodeGrid* out) {
  const AffineKHeader header = LoadHeader(block);
  for (int j = 0; j < kSubBlocks; ++j) {
    const SubScale sub = SubScaleOf(header, j);
    out[j] = {sub.scale, -sub.minus_min};
  }
}

void Q6KGrids(const std::byte* block, CodeGrid* out) {
  const float d = HalfAt(block + kQ6Scale);
  for (int g = 0; g < kQ6Groups; ++g)
    out[g] = {d * static_cast<float>(Load<int8_t>(block + kQ6Scales + g)), 0.f};
}

void Q3KGrids(const std::byte* block, CodeGrid* out) {
  const float d = HalfAt(block + kQ3ScaleAt);
  for (int g = 0; g < kQ6Groups; ++g)
    out[g] = {d * static_cast<float>(Q3ScaleOf(block + kQ3ScalesAt, g) - kQ3ScaleLevels), 0.f};
}

void Q2KGrids(const std::byte* block, CodeGrid* out) {
  const Q2Scales scales = LoadQ2Scales(block);
  for (int g = 0; g < kQ2Groups; ++g) out[g] = {scales.ScaleOf(g), -scales.MinusMinOf(g)};
}

template <int kBits, int kAt>
void Write32(const uint8_t* codes, std::byte* block) {
  Codes32<kBits>::Pack(codes, block + kAt);
}

// Codes that a group keeps in order, `kMoved` above those that are given.
template <int kBits, int kAt, int kElements, int kMoved>
void WriteInOrder(const uint8_t* codes, std::byte* block) {
  if constexpr (kBits == 8) {
    for (int i = 0; i < kElements; ++i)
      Store(block + kAt + i, static_cast<uint8_t>(codes[i] + kMoved));
  } else {
    for (int i = 0; i < kElements / 2; ++i)
      Store(block + kAt + i, static_cast<uint8_t>(codes[2 * i] | codes[2 * i + 1] << 4));
  }
}

void WriteQ4K(const uint8_t* codes, std::byte* block) {
  PackNibblesK(codes, block + kAffineKHeader);
}

void WriteQ5K(const uint8_t* codes, std::byte* block) {
  PackFifthBitsK(codes, block + kAffineKHeader);
  PackNibblesK(codes, block + kAffineKHeader + kSubBlock);
}

void WriteQ6K(const uint8_t* codes, std::byte* block) {
  Q6Scales scales;
  scales.d = Load<uint16_t>(block + kQ6Scale);
  std::memcpy(scales.groups, block + kQ6Scales, sizeof scales.groups);
  PackQ6(codes, scales, block);
}

void WriteQ2K(const uint8_t* codes, std::byte* block) {
  PackTwoBits<kQ2Elements>(codes, block + kQ2CodesAt);
}

// IQ4_XS: docs/formats/blocks.md.
constexpr int kIq4Sub = 32, kIq4Codes = 8;

void Iq4XsGrids(const std::byte* block, CodeGrid* out) {
  const float d = HalfAt(block);
  const auto upper = Load<uint16_t>(block + 2);
  for (int s = 0; s < kSuperBlock / kIq4Sub; ++s) {
    const auto pair = Load<uint8_t>(block + 4 + s / 2);
    const int scale = (s % 2 == 0 ? pair & 15 : pair >> 4) | (upper >> (2 * s) & 3) << 4;
    out[s] = {d * static_cast<float>(scale - 32), 0.f};
  }
}

void WriteIq4Xs(const uint8_t* codes, std::byte* block) {
  for (int s = 0; s < kSuperBlock / kIq4Sub; ++s)
    PackNibbles(codes + s * kIq4Sub, block + kIq4Codes + s * kIq4Sub / 2);
}

// Codes around the middle leave out the lowest of eight bits, as the codecs do.
constexpr int LowOf(const GroupScheme& scheme) {
  return scheme.zero != GroupZero::kMiddle ? 0 : scheme.bits == 4 ? -8 : -127;
}

template <int kBits, int kElements, GroupZero kZero>
constexpr BlockGrid Group() {
  constexpr GroupScheme kScheme = {kBits, kElements, kZero};
  constexpr int kLow = LowOf(kScheme);
  constexpr bool kMiddle = kZero == GroupZero::kMiddle;
  return {.type = GroupType(kScheme),
          .elements = kElements,
          .group = kElements,
          .low = kLow,
          .high = kMiddle ? (1 << (kBits - 1)) - 1 : (1 << kBits) - 1,
          .search = kMiddle                      ? GridSearch::kMiddle
                    : kZero == GroupZero::kPoint ? GridSearch::kPoint
                                                 : GridSearch::kBias,
          .grids = kMiddle                      ? MiddleGrids
                   : kZero == GroupZero::kPoint ? PointGrids
                                                : BiasGrids,
          .write = WriteInOrder < kBits,
          CodesAt(kZero),
          kElements,
          kMiddle && kBits == 8 ? 128 + kLow : 0 > };
}

constexpr BlockGrid Legacy(DType type, int low, int high, GridSearch search,
                           void (*write)(const uint8_t*, std::byte*)) {
  return {.type = type,
          .elements = kBlock32,
          .group = kBlock32,
          .low = low,
          .high = high,
          .search = search,
          .table = search == GridSearch::kTable ? &kIq4Values : nullptr,
          .grids = search == GridSearch::kBias ? BiasGrids : MiddleGrids,
          .write = write};
}

constexpr BlockGrid Super(DType type, int64_t group, int low, int high,
                          void (*grids)(const std::byte*, CodeGrid*),
                          void (*write)(const uint8_t*, std::byte*),
                          const CodeTable* table = nullptr) {
  return {.type = type,
          .elements = kSuperBlock,
          .group = group,
          .low = low,
          .high = high,
          .search = GridSearch::kCodec,
          .table = table,
          .grids = grids,
          .write = write};
}

constexpr BlockGrid kGrids[] = {
    Legacy(DType::kQ4_0, -8, 7, GridSearch::kMiddle, Write32<4, 2>),
    Legacy(DType::kQ4_1, 0, 15, GridSearch::kBias, Write32<4, 4>),
    Legacy(DType::kQ5_0, -16, 15, GridSearch::kMiddle, Write32<5, 2>),
    Legacy(DType::kQ5_1, 0, 31, GridSearch::kBias, Write32<5, 4>),
    // As two's complement, a code is what is given less 127.
    Legacy(DType::kQ8_0, -127, 127, GridSearch::kMiddle, WriteInOrder<8, 2, kBlock32, -127>),
    Legacy(DType::kIQ4_NL, 0, 15, GridSearch::kTable, Write32<4, 2>),
    Super(DType::kIQ4_XS, kIq4Sub, 0, 15, Iq4XsGrids, WriteIq4Xs, &kIq4Values),
    Super(DType::kQ4_K, kSubBlock, 0, 15, AffineKGrids, WriteQ4K),
    Super(DType::kQ5_K, kSubBlock, 0, 31, AffineKGrids, WriteQ5K),
    Super(DType::kQ6_K, kQ6Group, -kQ6Levels, kQ6Levels - 1, Q6KGrids, WriteQ6K),
    Super(DType::kQ3_K, kQ6Group, -kQ3Levels, kQ3Levels - 1, Q3KGrids, PackQ3Codes),
    Super(DType::kQ2_K, kQ2Group, 0, kQ2Levels, Q2KGrids, WriteQ2K),
    Group<4, 32, GroupZero::kPoint>(),
    Group<4, 32, GroupZero::kBias>(),
    Group<4, 64, GroupZero::kMiddle>(),
    Group<4, 64, GroupZero::kPoint>(),
    Group<4, 64, GroupZero::kBias>(),
    Group<4, 128, GroupZero::kMiddle>(),
    Group<4, 128, GroupZero::kPoint>(),
    Group<4, 128, GroupZero::kBias>(),
    Group<8, 32, GroupZero::kPoint>(),
    Group<8, 32, GroupZero::kBias>(),
    Group<8, 64, GroupZero::kMiddle>(),
    Group<8, 64, GroupZero::kPoint>(),
    Group<8, 64, GroupZero::kBias>(),
    Group<8, 128, GroupZero::kMiddle>(),
    Group<8, 128, GroupZero::kPoint>(),
    Group<8, 128, GroupZero::kBias>(),
};

}  // namespace

const BlockGrid* FindBlockGrid(DType type) {
  for (const BlockGrid& grid : kGrids)
    if (grid.type == type) return &grid;
  return nullptr;
}

}  // namespace quantfleet::pipeline
