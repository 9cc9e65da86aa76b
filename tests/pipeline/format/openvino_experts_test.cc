// What OpenVINO's CPU plugin goes by when it recognizes a mixture of experts; the numbers are
// judged in tests/e2e/test_openvino.py and test_runtimes.py.
#include "pipeline/format/openvino/openvino_experts.h"

#include <gtest/gtest.h>

#include <map>
#include <pugixml.hpp>

#include "pipeline/format/openvino/ir_file.h"
#include "pipeline/format/openvino/openvino_target.h"
#include "tests/pipeline/format/demo_layout.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tiny_model.h"

namespace quantfleet::pipeline {
namespace {

TEST(OpenVinoExperts, AllOfALayerAreOneConstant) {
  const quantfleet::testing::TempDir dir;
  quantfleet::testing::WriteTinyModel(dir / "model", "qwen3moe");
  const auto source = OpenModel(RealFileSystem(), dir / "model");
  ASSERT_OK(source);
  const auto layout = PlanOpenVino(**source, *FindRecipe("int4-asym"));
  ASSERT_OK(layout);
  const OutputFile& bin = FileOf(*layout, "openvino_model.bin");
  const auto constants = ReadIrConstants(FileOf(*layout, "openvino_model.xml").fixed[0].bytes,
                                         "openvino_model.xml", bin.size);
  ASSERT_OK(constants);
  std::map<std::string, const IrConstant*> by_name;
  for (const IrConstant& constant : *constants) by_name[constant.name] = &constant;
  const std::string up = "model.layers.1.mlp.experts.up_proj.weight";
  ASSERT_TRUE(by_name.contains(up));
  EXPECT_EQ(by_name[up]->type, "u4");
  EXPECT_EQ(by_name[up]->shape, (std::vector<int64_t>{6, 128, 2, 32}));
  EXPECT_EQ(by_name[up + "/scale"]->shape, (std::vector<int64_t>{6, 128, 2, 1}));
  EXPECT_EQ(by_name[up + "/zero_point"]->shape, (std::vector<int64_t>{6, 128, 2, 1}));
  EXPECT_EQ(by_name["model.layers.1.mlp.gate.weight"]->type, "f32");
  // One expert behind the other.
  int64_t expert = 0;
  for (const PlacedPiece& placed : layout->pieces) {
    if (placed.tensor != up || placed.part != Part::kCodes) continue;
    EXPECT_EQ((*source)->description().pieces[placed.piece].expert, expert);
    EXPECT_EQ(placed.offset, by_name[up]->offset + static_cast<uint64_t>(expert) * 128 * 64 / 2);
    ++expert;
  }
  EXPECT_EQ(expert, 6);
}

// With Swish's factor as a second input, 2026.4 computes all experts of each token.
TEST(OpenVinoExperts, TheGateIsOfOneInput) {
  const quantfleet::testing::TempDir dir;
  quantfleet::testing::WriteTinyModel(dir / "model", "qwen3moe");
  const auto source = OpenModel(RealFileSystem(), dir / "model");
  ASSERT_OK(source);
  const auto layout = PlanOpenVino(**source, *FindRecipe("fp16"));
  ASSERT_OK(layout);
  pugi::xml_document xml;
  ASSERT_TRUE(xml.load_string(FileOf(*layout, "openvino_model.xml").fixed[0].bytes.c_str()));
  std::map<std::string, int> count;
  for (const pugi::xml_node layer : xml.child("net").child("layers").children("layer")) {
    const std::string type = layer.attribute("type").value();
    ++count[type];
    if (type != "Swish") continue;
    const auto inputs = layer.child("input").children("port");
    EXPECT_EQ(std::distance(inputs.begin(), inputs.end()), 1);
  }
  EXPECT_EQ(count["Tile"], 2);
  EXPECT_EQ(count["ScatterElementsUpdate"], 2);
}

// OpenVINO recognizes experts with biases by one product of gate and up.
TEST(OpenVinoExperts, GateAndUpOfAnExpertWithLimitsStandTogether) {
  const quantfleet::testing::TempDir dir;
  quantfleet::testing::WriteTinyModel(dir / "model", "gpt-oss");
  const auto source = OpenModel(RealFileSystem(), dir / "model");
  ASSERT_OK(source);
  const auto layout = PlanOpenVino(**source, *FindRecipe("int8"));
  ASSERT_OK(layout);
  std::vector<std::pair<Role, int>> order;
  for (const PlacedPiece& placed : layout->pieces)
    if (placed.tensor == "model.layers.0.mlp.experts.gate_up_proj" &&
        placed.part == Part::kSignedCodes) {
      const Piece& piece = (*source)->description().pieces[placed.piece];
      order.emplace_back(piece.role, piece.expert);
    }
  ASSERT_EQ(order.size(), 12u);
  for (int i = 0; i < 12; ++i)
    EXPECT_EQ(order[static_cast<size_t>(i)],
              std::pair(i % 2 == 0 ? Role::kFfnGateExpert : Role::kFfnUpExpert, i / 2));
}

}  // namespace
}  // namespace quantfleet::pipeline
