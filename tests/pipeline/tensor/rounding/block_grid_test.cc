#include "pipeline/tensor/rounding/block_grid.h"

#include "tests/pipeline/tensor/rounding/rounding_fixture.h"

namespace quantfleet::pipeline {
namespace {

class BlockGridTest : public ::testing::TestWithParam<DType> {};

// The codes nearest to what a block decodes to are its own, and writing them changes nothing.
TEST_P(BlockGridTest, GridsAndCodesAreThoseOfTheCodec) {
  const DType type = GetParam();
  const BlockGrid& grid = *FindBlockGrid(type);
  const DTypeInfo& info = Info(type);
  ASSERT_EQ(grid.elements, info.block_elements);
  const int64_t blocks = 40, n = blocks * grid.elements;
  const std::vector<float> values = testing::NormalFloats(n, 7);
  Bytes encoded(static_cast<size_t>(RowBytes(type, n)));
  FindCodec(type)->encode(values.data(), 1, n, nullptr, encoded.data());
  const std::vector<float> decoded = DecodeAll(type, encoded, n);
  std::vector<CodeGrid> grids(static_cast<size_t>(grid.elements / grid.group));
  std::vector<uint8_t> codes(static_cast<size_t>(grid.elements));
  for (int64_t b = 0; b < blocks; ++b) {
    std::byte* block = encoded.data() + b * info.block_bytes;
    const Bytes before(block, block + info.block_bytes);
    grid.grids(block, grids.data());
    for (int64_t i = 0; i < grid.elements; ++i) {
      const CodeGrid& at = grids[static_cast<size_t>(i / grid.group)];
      const float value = decoded[static_cast<size_t>(b * grid.elements + i)];
      int best = grid.low;
      float least = INFINITY;
      for (int code = grid.low; code <= grid.high; ++code) {
        const float level = grid.table
                                ? static_cast<float>((*grid.table)[static_cast<size_t>(code)])
                                : static_cast<float>(code);
        const float off = std::fabs(at.scale * level + at.offset - value);
        if (off < least) least = off, best = code;
      }
      ASSERT_LE(least, 1e-6f) << "element " << i;
      codes[static_cast<size_t>(i)] = static_cast<uint8_t>(best - grid.low);
    }
    grid.write(codes.data(), block);
    const Bytes after(block, block + info.block_bytes);
    ASSERT_EQ(DecodeAll(type, after, grid.elements), DecodeAll(type, before, grid.elements));
  }
}

// Every scale and min of its range comes back, and is what a group is decoded with.
TEST_P(BlockGridTest, PackedScalesAreThoseOfTheGrid) {
  const BlockGrid& grid = *FindBlockGrid(GetParam());
  ASSERT_EQ(grid.packed != nullptr, grid.search == GridSearch::kPacked);
  if (grid.packed == nullptr) return;
  const PackedScales& packed = *grid.packed;
  const std::vector<float> values = testing::NormalFloats(grid.elements, 4);
  Bytes block(static_cast<size_t>(Info(grid.type).block_bytes));
  FindCodec(grid.type)->encode(values.data(), 1, grid.elements, nullptr, block.data());
  const auto groups = static_cast<size_t>(grid.elements / grid.group);
  std::vector<GroupScale> found(groups);
  packed.load(block.data(), found.data());
  const Bytes before = block;
  packed.store(found.data(), block.data());
  EXPECT_EQ(block, before);
  const CodeGrid unit = packed.unit(block.data());
  for (int step = 0; step <= packed.highest - packed.lowest; ++step) {
    std::vector<GroupScale> stored(groups);
    for (size_t g = 0; g < groups; ++g) {
      const int range = packed.highest - packed.lowest + 1;
      stored[g] = {packed.lowest + (step + static_cast<int>(g) * 5) % range,
                   packed.highest_min == 0
                       ? 0
                       : (step + static_cast<int>(g) * 3) % (packed.highest_min + 1)};
    }
    packed.store(stored.data(), block.data());
    std::vector<CodeGrid> grids(groups);
    grid.grids(block.data(), grids.data());
    for (size_t g = 0; g < groups; ++g) {
      EXPECT_EQ(grids[g].scale, unit.scale * static_cast<float>(stored[g].scale));
      EXPECT_EQ(grids[g].offset, unit.offset * static_cast<float>(stored[g].min));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Types, BlockGridTest, ::testing::ValuesIn(RoundedTypes()), TypeName());

TEST(BlockGridTest, FloatsMxfp4AndTypesThatAreNeverMadeHaveNone) {
  EXPECT_EQ(FindBlockGrid(DType::kF16), nullptr);
  EXPECT_EQ(FindBlockGrid(DType::kIQ3_S), nullptr);
  EXPECT_EQ(FindBlockGrid(DType::kMXFP4), nullptr);
}

}  // namespace
}  // namespace quantfleet::pipeline
