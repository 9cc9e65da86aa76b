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

// Q4_K and Q5_K.
CodeGrid AffineKUnit(const std::byte* block) { return {HalfAt(block), -HalfAt(block + 2)}; }

void LoadAffineK(const std::byte* block, GroupScale* out) {
  const AffineKHeader header = LoadHeader(block);
  for (int j = 0; j < kSubBlocks; ++j) out[j] = {header.scales[j], header.mins[j]};
}

void StoreAffineK(const GroupScale* scales, std::byte* block) {
  AffineKHeader header = LoadHeader(block);
  for (int j = 0; j < kSubBlocks; ++j) {
    header.scales[j] = static_cast<uint8_t>(scales[j].scale);
    header.mins[j] = static_cast<uint8_t>(scales[j].min);
  }
  StoreHeader(header, block);
}

CodeGrid Q6KUnit(const std::byte* block) { return {HalfAt(block + kQ6Scale), 0.f}; }

void LoadQ6K(const std::byte* block, GroupScale* out) {
  for (int g = 0; g < kQ6Groups; ++g) out[g] = {Load<int8_t>(block + kQ6Scales + g), 0};
}

void StoreQ6K(const GroupScale* scales, std::byte* block) {
  for (int g = 0; g < kQ6Groups; ++g)
    Store(block + kQ6Scales + g, static_cast<int8_t>(scales[g].scale));
}

CodeGrid Q3KUnit(const std::byte* block) { return {HalfAt(block + kQ3ScaleAt), 0.f}; }

void LoadQ3K(const std::byte* block, GroupScale* out) {
  for (int g = 0; g < kQ6Groups; ++g)
    out[g] = {Q3ScaleOf(block + kQ3ScalesAt, g) - kQ3ScaleLevels, 0};
}

void StoreQ3K(const GroupScale* scales, std::byte* block) {
  int8_t groups[kQ6Groups];
  for (int g = 0; g < kQ6Groups; ++g) groups[g] = static_cast<int8_t>(scales[g].scale);
  PackQ3Scales(groups, block + kQ3ScalesAt);
}

CodeGrid Q2KUnit(const std::byte* block) {
  return {HalfAt(block + kQ2ScaleAt), -HalfAt(block + kQ2ScaleAt + 2)};
}

void LoadQ2K(const std::byte* block, GroupScale* out) {
  for (int g = 0; g < kQ2Groups; ++g) {
    const auto packed = Load<uint8_t>(block + g);
    out[g] = {packed & 15, packed >> 4};
  }
}

void StoreQ2K(const GroupScale* scales, std::byte* block) {
  for (int g = 0; g < kQ2Groups; ++g)
    Store(block + g, static_cast<uint8_t>(scales[g].scale | scales[g].min << 4));
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

CodeGrid Iq4XsUnit(const std::byte* block) { return {HalfAt(block), 0.f}; }

void LoadIq4Xs(const std::byte* block, GroupScale* out) {
  const auto upper = Load<uint16_t>(block + 2);
  for (int s = 0; s < kSuperBlock / kIq4Sub; ++s) {
    const auto pair = Load<uint8_t>(block + 4 + s / 2);
    const int scale = (s % 2 == 0 ? pair & 15 : pair >> 4) | (upper >> (2 * s) & 3) << 4;
    out[s] = {scale - 32, 0};
  }
}

void StoreIq4Xs(const GroupScale* scales, std::byte* block) {
  uint32_t upper = 0, lower = 0;
  for (int s = 0; s < kSuperBlock / kIq4Sub; ++s) {
    const auto scale = static_cast<uint32_t>(scales[s].scale + 32);
    lower |= (scale & 15) << 4 * s;
    upper |= scale >> 4 << 2 * s;
  }
  Store(block + 2, static_cast<uint16_t>(upper));
  Store(block + 4, lower);
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

constexpr PackedScales kAffineKScales = {0, 63, 63, AffineKUnit, LoadAffineK, StoreAffineK},
                       kQ6KScales = {-128, 127, 0, Q6KUnit, LoadQ6K, StoreQ6K},
                       kQ3KScales = {-32, 31, 0, Q3KUnit, LoadQ3K, StoreQ3K},
                       kQ2KScales = {0, 15, 15, Q2KUnit, LoadQ2K, StoreQ2K},
                       kIq4XsScales = {-32, 31, 0, Iq4XsUnit, LoadIq4Xs, StoreIq4Xs};

template <const PackedScales& kPacked, int64_t kGroup>
void PackedGrids(const std::byte* block, CodeGrid* out) {
  constexpr int64_t kGroups = kSuperBlock / kGroup;
  GroupScale scales[kGroups];
  kPacked.load(block, scales);
  const CodeGrid unit = kPacked.unit(block);
  for (int64_t g = 0; g < kGroups; ++g)
    out[g] = {unit.scale * static_cast<float>(scales[g].scale),
              unit.offset * static_cast<float>(scales[g].min)};
}

template <const PackedScales& kPacked, int64_t kGroup>
constexpr BlockGrid Super(DType type, int low, int high, void (*write)(const uint8_t*, std::byte*),
                          const CodeTable* table = nullptr) {
  return {.type = type,
          .elements = kSuperBlock,
          .group = kGroup,
          .low = low,
          .high = high,
          .search = GridSearch::kPacked,
          .table = table,
          .grids = PackedGrids<kPacked, kGroup>,
          .write = write,
          .packed = &kPacked};
}

// In two's complement, behind the scale.
template <int kBits, int kLow>
void WriteRow(const uint8_t* codes, int64_t elements, std::byte* block) {
  block += CodesAt(GroupZero::kMiddle);
  if constexpr (kBits == 8) {
    for (int64_t i = 0; i < elements; ++i) block[i] = static_cast<std::byte>(codes[i] + kLow);
  } else {
    for (int64_t i = 0; i < elements; i += 2)
      block[i / 2] =
          static_cast<std::byte>(((codes[i] + kLow) & 15) | ((codes[i + 1] + kLow) & 15) << 4);
  }
}

template <int kBits>
constexpr BlockGrid Row(DType type) {
  constexpr int kLow = LowOf({kBits, 0, GroupZero::kMiddle});
  return {.type = type,
          .elements = 0,
          .group = 0,
          .low = kLow,
          .high = (1 << (kBits - 1)) - 1,
          .search = GridSearch::kMiddle,
          .grids = MiddleGrids,
          .write = nullptr,
          .write_row = WriteRow<kBits, kLow>};
}

constexpr BlockGrid kGrids[] = {
    Legacy(DType::kQ4_0, -8, 7, GridSearch::kMiddle, Write32<4, 2>),
    Legacy(DType::kQ4_1, 0, 15, GridSearch::kBias, Write32<4, 4>),
    Legacy(DType::kQ5_0, -16, 15, GridSearch::kMiddle, Write32<5, 2>),
    Legacy(DType::kQ5_1, 0, 31, GridSearch::kBias, Write32<5, 4>),
    // As two's complement, a code is what is given less 127.
    Legacy(DType::kQ8_0, -127, 127, GridSearch::kMiddle, WriteInOrder<8, 2, kBlock32, -127>),
    Legacy(DType::kIQ4_NL, 0, 15, GridSearch::kTable, Write32<4, 2>),
    Super<kIq4XsScales, kIq4Sub>(DType::kIQ4_XS, 0, 15, WriteIq4Xs, &kIq4Values),
    Super<kAffineKScales, kSubBlock>(DType::kQ4_K, 0, 15, WriteQ4K),
    Super<kAffineKScales, kSubBlock>(DType::kQ5_K, 0, 31, WriteQ5K),
    Super<kQ6KScales, kQ6Group>(DType::kQ6_K, -kQ6Levels, kQ6Levels - 1, WriteQ6K),
    Super<kQ3KScales, kQ6Group>(DType::kQ3_K, -kQ3Levels, kQ3Levels - 1, PackQ3Codes),
    Super<kQ2KScales, kQ2Group>(DType::kQ2_K, 0, kQ2Levels, WriteQ2K),
    Group<4, 32, GroupZero::kPoint>(),
    Group<4, 32, GroupZero::kBias>(),
    Group<4, 64, GroupZero::kMiddle>(),
    Group<4, 64, GroupZero::kPoint>(),
    Group<4, 64, GroupZero::kBias>(),
    Group<4, 128, GroupZero::kMiddle>(),
    Group<4, 128, GroupZero::kPoint>(),
    Group<4, 128, GroupZero::kBias>(),
    Group<4, 16, GroupZero::kMiddle>(),
    Group<4, 16, GroupZero::kPoint>(),
    Group<4, 256, GroupZero::kMiddle>(),
    Group<4, 256, GroupZero::kPoint>(),
    Group<8, 32, GroupZero::kPoint>(),
    Group<8, 32, GroupZero::kBias>(),
    Group<8, 64, GroupZero::kMiddle>(),
    Group<8, 64, GroupZero::kPoint>(),
    Group<8, 64, GroupZero::kBias>(),
    Group<8, 128, GroupZero::kMiddle>(),
    Group<8, 128, GroupZero::kPoint>(),
    Group<8, 128, GroupZero::kBias>(),
    Group<8, 16, GroupZero::kMiddle>(),
    Group<8, 16, GroupZero::kPoint>(),
    Group<8, 256, GroupZero::kMiddle>(),
    Group<8, 256, GroupZero::kPoint>(),
    Row<8>(DType::kI8_Row),
    Row<4>(DType::kI4_Row),
};

}  // namespace

const BlockGrid* FindBlockGrid(DType type) {
  for (const BlockGrid& grid : kGrids)
    if (grid.type == type) return &grid;
  return nullptr;
}

}  // namespace quantfleet::pipeline
