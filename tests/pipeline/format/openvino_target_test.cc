// What only a planner sees; the graph and its numbers are judged in tests/e2e/test_openvino.py.
#include "pipeline/format/openvino/openvino_target.h"

#include <gtest/gtest.h>

#include <map>

#include "pipeline/format/openvino/ir_file.h"
#include "pipeline/format/openvino/ir_graph.h"
#include "tests/pipeline/format/demo_layout.h"
#include "tests/support/status_matchers.h"

namespace quantfleet::pipeline {
namespace {

// The element type that a part of such a weight has in the graph.
std::string_view IrTypeOf(const PlacedPiece& placed) {
  if (placed.part == Part::kBlocks) return "f32";
  if (placed.part == Part::kScales) return "f16";
  const bool wide = CodeBits(placed.dtype) == 8;
  if (placed.part == Part::kSignedCodes) return wide ? "i8" : "i4";
  return wide ? "u8" : "u4";  // codes and zero points
}

class OpenVinoPlaces : public ::testing::TestWithParam<const char*> {};

TEST_P(OpenVinoPlaces, EveryPlaceHasAConstantThatPointsThere) {
  const auto source = OpenDemo();
  const auto layout = PlanOpenVino(*source, *FindRecipe(GetParam()));
  ASSERT_OK(layout);
  const OutputFile& bin = FileOf(*layout, "openvino_model.bin");
  const auto constants = ReadIrConstants(FileOf(*layout, "openvino_model.xml").fixed[0].bytes,
                                         "openvino_model.xml", bin.size);
  ASSERT_OK(constants);
  std::map<uint64_t, const IrConstant*> at;
  for (const IrConstant& constant : *constants) {
    const bool weight = !constant.name.starts_with("constant.");
    EXPECT_EQ(constant.offset % (weight ? 64 : 8), 0u) << constant.name;
    EXPECT_TRUE(at.emplace(constant.offset, &constant).second) << constant.name;
  }
  size_t begun = 0;
  for (const PlacedPiece& placed : layout->pieces) {
    const auto next = at.upper_bound(placed.offset);
    ASSERT_NE(next, at.begin());
    const IrConstant& holder = *std::prev(next)->second;
    const Piece& piece = source->description().pieces[placed.piece];
    EXPECT_LE(placed.offset + static_cast<uint64_t>(piece.rows * RowBytes(placed, piece.cols)),
              holder.offset + holder.size);
    EXPECT_TRUE(holder.name.starts_with(placed.tensor)) << holder.name;
    EXPECT_EQ(holder.type, IrTypeOf(placed));
    begun += placed.offset == holder.offset;
  }
  // Each constant that is no number of the graph's own begins with a piece.
  EXPECT_EQ(begun, static_cast<size_t>(std::ranges::count_if(*constants, [](const IrConstant& c) {
              return !c.name.starts_with("constant.");
            })));
}

INSTANTIATE_TEST_SUITE_P(All, OpenVinoPlaces,
                         ::testing::Values("int4", "int4-g64-asym", "int8-g128-asym", "int4-g128"));

TEST(OpenVinoTarget, TheGraphIsSmall) {
  const auto layout = PlanOpenVino(*OpenDemo(), *FindRecipe("fp16"));
  ASSERT_OK(layout);
  EXPECT_LT(FileOf(*layout, "openvino_model.xml").size, 512u << 10);
  // Each number of the graph lies there once.
  EXPECT_LT(FileOf(*layout, "openvino_model.bin").fixed[0].bytes.size(), 2048u);
}

TEST(IrGraph, Broadcasting) {
  EXPECT_EQ(BroadcastShape({kAnySize, 1, 5}, {3, 1}), (IrShape{kAnySize, 3, 5}));
  EXPECT_EQ(BroadcastShape({}, {2, 3}), (IrShape{2, 3}));
  EXPECT_EQ(BroadcastShape({kAnySize}, {7}), IrShape{7});
  EXPECT_EQ(BroadcastShape({1}, {kAnySize}), IrShape{kAnySize});
  EXPECT_EQ(IrText({kAnySize, 8, 0}), "?,8,0");
}

}  // namespace
}  // namespace quantfleet::pipeline
