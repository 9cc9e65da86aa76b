// What only a planner sees; that the numbers are right is judged in tests/e2e/test_onnx*.py.
#include "pipeline/format/onnx/onnx_target.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "onnx/onnx.pb.h"
#include "pipeline/format/layout/assemble.h"
#include "pipeline/format/onnx/onnx_data.h"
#include "pipeline/recipe/recipe_file.h"
#include "tests/pipeline/format/demo_layout.h"
#include "tests/support/status_matchers.h"

namespace quantfleet::pipeline {
namespace {

onnx::ModelProto GraphOf(const TargetLayout& layout) {
  onnx::ModelProto model;
  EXPECT_TRUE(model.ParseFromString(FileOf(layout, "model.onnx").fixed[0].bytes));
  return model;
}

// Bits of an element, by ONNX's number of its type.
int64_t BitsOf(int type) {
  switch (type) {
    case onnx::TensorProto::UINT8:
    case onnx::TensorProto::INT8:
      return 8;
    case onnx::TensorProto::FLOAT16:
      return 16;
    case onnx::TensorProto::FLOAT:
      return 32;
    default:
      ADD_FAILURE() << "type " << type;
      return 0;
  }
}

struct OnnxRegion {
  uint64_t offset, size;
};
OnnxRegion RegionOf(const onnx::TensorProto& tensor) {
  std::map<std::string, std::string> entries;
  for (const auto& entry : tensor.external_data()) entries[entry.key()] = entry.value();
  EXPECT_EQ(entries["location"], "model.onnx.data");
  return {std::stoull(entries["offset"]), std::stoull(entries["length"])};
}

// Nodes of the graph and of the graphs in it.
void ForEachNode(const onnx::GraphProto& graph,
                 const std::function<void(const onnx::NodeProto&)>& visit) {
  for (const onnx::NodeProto& node : graph.node()) {
    visit(node);
    for (const onnx::AttributeProto& attribute : node.attribute())
      if (attribute.has_g()) ForEachNode(attribute.g(), visit);
  }
}

class OnnxTargetTest : public ::testing::TestWithParam<const char*> {};

TEST_P(OnnxTargetTest, EveryInitializerHasItsOwnPagesOfTheRightSize) {
  const auto source = OpenDemo();
  const auto layout = PlanOnnx(*source, *FindRecipe(GetParam()));
  ASSERT_OK(layout);
  const uint64_t size = FileOf(*layout, "model.onnx.data").size;
  std::map<uint64_t, uint64_t> ends;
  std::set<std::string> names;
  const onnx::ModelProto model = GraphOf(*layout);
  for (const onnx::TensorProto& tensor : model.graph().initializer()) {
    EXPECT_TRUE(names.insert(tensor.name()).second) << tensor.name();
    if (tensor.data_location() != onnx::TensorProto::EXTERNAL) continue;
    const auto [offset, length] = RegionOf(tensor);
    int64_t elements = 1;
    for (const int64_t dim : tensor.dims()) elements *= dim;
    EXPECT_EQ(static_cast<uint64_t>(elements * BitsOf(tensor.data_type()) / 8), length)
        << tensor.name();
    EXPECT_EQ(offset % 4096, 0u) << tensor.name();
    EXPECT_LE(offset + length, size) << tensor.name();
    if (tensor.name().ends_with(".blocks")) {
      EXPECT_EQ(ends.count(offset), 1u) << tensor.name();  // a view of codes
    } else {
      EXPECT_TRUE(ends.emplace(offset, offset + length).second) << tensor.name();
    }
  }
  uint64_t last = 0;
  for (const auto& [begin, end] : ends) {
    EXPECT_GE(begin, last);
    last = end;
  }
  // Every piece lies in one of them.
  for (const PlacedPiece& placed : layout->pieces) {
    const auto next = ends.upper_bound(placed.offset);
    ASSERT_NE(next, ends.begin());
    const Piece& piece = source->description().pieces[placed.piece];
    EXPECT_LE(placed.offset + static_cast<uint64_t>(piece.rows * RowBytes(placed, piece.cols)),
              std::prev(next)->second)
        << placed.tensor;
  }
}

// ONNX Runtime warns of others each time it loads the model.
TEST_P(OnnxTargetTest, EveryInitializerIsUsed) {
  const auto layout = PlanOnnx(*OpenDemo(), *FindRecipe(GetParam()));
  ASSERT_OK(layout);
  const onnx::ModelProto model = GraphOf(*layout);
  std::set<std::string> used;
  ForEachNode(model.graph(), [&](const onnx::NodeProto& node) {
    used.insert(node.input().begin(), node.input().end());
  });
  for (const onnx::TensorProto& tensor : model.graph().initializer())
    EXPECT_TRUE(used.contains(tensor.name())) << tensor.name();
}

INSTANTIATE_TEST_SUITE_P(Recipes, OnnxTargetTest,
                         ::testing::Values("fp32", "fp16", "int8", "int4", "int4-g128-asym-pure",
                                           "int4-g16-asym", "int8-g256", "int8-g64-asym",
                                           "int8-qdq"),
                         [](const auto& tested) {
                           std::string name = tested.param;
                           std::ranges::replace(name, '-', '_');
                           return name;
                         });

TEST(OnnxTarget, GroupsAndPointsReachTheOperators) {
  const auto layout = PlanOnnx(*OpenDemo(), *FindRecipe("int4-g128-asym"));
  ASSERT_OK(layout);
  const onnx::ModelProto model = GraphOf(*layout);
  std::map<std::string, std::vector<int64_t>> shapes;
  for (const onnx::TensorProto& tensor : model.graph().initializer())
    shapes[tensor.name()] = {tensor.dims().begin(), tensor.dims().end()};
  const std::string down = "model.layers.0.mlp.down_proj.weight";  // 256 rows of 768
  EXPECT_EQ(shapes[down + ".codes"], (std::vector<int64_t>{256, 6, 64}));
  EXPECT_EQ(shapes[down + ".scales"], (std::vector<int64_t>{256, 6}));
  EXPECT_EQ(shapes[down + ".zero_points"], (std::vector<int64_t>{256, 3}));
  EXPECT_EQ(shapes["lm_head.weight.zero_points"], (std::vector<int64_t>{2048, 2}));  // 8 bits
  size_t products = 0;
  ForEachNode(model.graph(), [&](const onnx::NodeProto& node) {
    if (node.op_type() != "MatMulNBits") return;
    ++products;
    EXPECT_EQ(node.input_size(), 4) << node.name();
    for (const onnx::AttributeProto& attribute : node.attribute()) {
      if (attribute.name() == "block_size") {
        EXPECT_EQ(attribute.i(), 128) << node.name();
      }
    }
  });
  EXPECT_EQ(products, 5u * 4 + 1);
}

// accuracy_level 0 was what every product had, and ONNX Runtime generated with it at a tenth of its
// speed.
TEST(OnnxTarget, ProductsAreOfIntegersUnlessExact) {
  const auto levels = [](const Recipe& recipe) {
    const auto layout = PlanOnnx(*OpenDemo(), recipe);
    EXPECT_OK(layout);
    std::set<int64_t> found;
    ForEachNode(GraphOf(*layout).graph(), [&](const onnx::NodeProto& node) {
      if (node.op_type() != "MatMulNBits") return;
      for (const onnx::AttributeProto& attribute : node.attribute())
        if (attribute.name() == "accuracy_level") found.insert(attribute.i());
    });
    return found;
  };
  const std::set<int64_t> exact{0}, integers{4};
  for (const char* name : {"int4", "int8", "int4-asym", "int4-g128-pure", "int8-g64-asym"}) {
    EXPECT_EQ(levels(*FindRecipe(name)), integers) << name;
    EXPECT_EQ(levels(*FindRecipe(fmt::format("{}-exact", name))), exact) << name;
  }
  Recipe floats = *FindRecipe("fp32");
  floats.changes.overrides = {*TypeOverride::Parse("role:ffn_down=u4_g128")};
  EXPECT_EQ(levels(floats), exact);
  EXPECT_EQ(levels(*ParseRecipe("name = 'mine'\nbase = 'int4-g64-exact'\n", "mine.toml")), exact);
  EXPECT_EQ(levels(*ParseRecipe("name = 'mine'\nbody = 'u4_g64'\n", "mine.toml")), integers);
}

TEST(OnnxTarget, Int8QdqHasTheStandardsOperatorsAlone) {
  const auto layout = PlanOnnx(*OpenDemo(), *FindRecipe("int8-qdq"));
  ASSERT_OK(layout);
  const onnx::ModelProto model = GraphOf(*layout);
  ASSERT_EQ(model.opset_import_size(), 1);
  EXPECT_EQ(model.opset_import(0).domain(), "");
  EXPECT_EQ(model.opset_import(0).version(), 21);
  // SimplifiedLayerNormalization, too, is in the default domain without being in the standard.
  const std::set<std::string> standard{
      "Add",     "And",    "Cast",       "Concat",      "CumSum",    "DequantizeLinear",
      "Div",     "Gather", "Greater",    "LessOrEqual", "MatMul",    "Max",
      "Mul",     "Range",  "ReduceMean", "Reshape",     "Shape",     "Sigmoid",
      "Softmax", "Split",  "Sqrt",       "Sub",         "Transpose", "Unsqueeze",
      "Where"};
  std::set<std::string> used;
  ForEachNode(model.graph(), [&](const onnx::NodeProto& node) {
    EXPECT_EQ(node.domain(), "") << node.name();
    used.insert(node.op_type());
    if (node.op_type() == "DequantizeLinear") {
      EXPECT_EQ(node.input_size(), 2) << node.name();
    }
  });
  EXPECT_THAT(std::vector<std::string>(used.begin(), used.end()), ::testing::IsSubsetOf(standard));
  EXPECT_TRUE(used.contains("DequantizeLinear"));
  EXPECT_NE(FileOf(*layout, "genai_config.json")
                .fixed[0]
                .bytes.find("\"past_present_share_buffer\":false"),
            std::string::npos);
}

TEST(OnnxTarget, Int8QdqHoldsEightBitsAndFloats) {
  const auto source = OpenDemo();
  Recipe recipe = *FindRecipe("int8-qdq");
  recipe.changes.overrides = {*TypeOverride::Parse("role:ffn_down=q4_0")};
  EXPECT_ERROR(PlanOnnx(*source, recipe), kInvalidArgument, "'model.layers.0.mlp.down_proj.weight'",
               "onnx:int8-qdq", "q4_0");
  recipe.changes.overrides = {*TypeOverride::Parse("role:ffn_down=u8_g64"),
                              *TypeOverride::Parse("role:ffn_up=f16")};
  const auto layout = PlanOnnx(*source, recipe);
  ASSERT_OK(layout);
  std::map<std::string, int> types;
  const onnx::ModelProto model = GraphOf(*layout);
  for (const onnx::TensorProto& tensor : model.graph().initializer())
    types[tensor.name()] = tensor.data_type();
  EXPECT_EQ(types["model.layers.0.mlp.gate_proj.weight.codes"], onnx::TensorProto::INT8);
  EXPECT_EQ(types["model.layers.0.mlp.down_proj.weight.codes"], onnx::TensorProto::UINT8);
  EXPECT_EQ(types["model.layers.0.mlp.down_proj.weight.zero_points"], onnx::TensorProto::UINT8);
  EXPECT_EQ(types["model.layers.0.mlp.up_proj.weight"], onnx::TensorProto::FLOAT16);
}

TEST(FittingType, IsWhatWasAskedForOrTheNextThatDividesTheRows) {
  const auto fitting = [](
                           const char* type, int64_t cols,
                           const std::function<bool(DType)>& holds = [](DType) { return true; }) {
    const OutputTensor tensor{"x.weight", {0}, 8, cols, 2, 0, {Role::kFfnDown}};
    std::vector<TypeFallback> fallbacks;
    const DType asked = *DTypeFromName(type), taken = FittingType(tensor, asked, fallbacks, holds);
    EXPECT_EQ(fallbacks.size(), taken == asked ? 0u : 1u);
    if (taken != asked) {
      EXPECT_EQ(fallbacks[0].tensor, "x.weight");
      EXPECT_EQ(fallbacks[0].asked, asked);
      EXPECT_EQ(fallbacks[0].taken, taken);
    }
    return std::string(Info(taken).name);
  };
  EXPECT_EQ(fitting("u4_g128", 384), "u4_g128");
  EXPECT_EQ(fitting("q8_0", 96), "q8_0");
  EXPECT_EQ(fitting("u4_g128", 576), "u4_g64");
  EXPECT_EQ(fitting("i4_g128", 96), "q4_0");
  EXPECT_EQ(fitting("a4_g64", 96), "a4_g32");
  EXPECT_EQ(fitting("u8_g64", 96), "u8_g32");
  EXPECT_EQ(fitting("u8_g256", 384), "u8_g128");
  EXPECT_EQ(fitting("i4_g64", 80), "i4_g16");
  EXPECT_EQ(fitting("a4_g64", 80), "f16");  // MLX has no groups of 16
  // Of a format that cannot hold all of them.
  EXPECT_EQ(fitting("u4_g128", 192, [](DType type) { return Info(type).block_elements < 64; }),
            "u4_g32");
  EXPECT_EQ(fitting("u4_g64", 192, [](DType type) { return CodeBits(type) == 8; }), "u8_g64");
  for (const char* type : {"q8_0", "q4_0", "i8_g64", "u4_g128"})
    EXPECT_EQ(fitting(type, 200), "f16") << type;
}

TEST(OnnxTarget, AWebFolderHasTheNamesOfTransformersJs) {
  struct Case {
    const char *recipe, *graph, *precision;
    int activations;
  };
  for (const Case& c :
       {Case{"int4-web", "onnx/model_q4.onnx", "q4", onnx::TensorProto::FLOAT},
        {"int4-g64-asym-f16-web", "onnx/model_q4f16.onnx", "q4f16", onnx::TensorProto::FLOAT16},
        {"int8-web", "onnx/model_quantized.onnx", "q8", onnx::TensorProto::FLOAT}}) {
    const auto layout = PlanOnnx(*OpenDemo(), *FindRecipe(c.recipe));
    ASSERT_OK(layout);
    onnx::ModelProto model;
    ASSERT_TRUE(model.ParseFromString(FileOf(*layout, c.graph).fixed[0].bytes));
    for (const auto& input : model.graph().input()) {
      const bool of_cache = input.name().starts_with("past_key_values.");
      EXPECT_EQ(input.type().tensor_type().elem_type(),
                of_cache ? c.activations : int{onnx::TensorProto::INT64})
          << input.name();
    }
    EXPECT_GT(FileOf(*layout, fmt::format("{}_data", c.graph)).size, 0u);
    EXPECT_THAT(FileOf(*layout, "config.json").fixed[0].bytes,
                ::testing::AllOf(::testing::HasSubstr(fmt::format(R"("dtype":"{}")", c.precision)),
                                 ::testing::HasSubstr(R"("use_external_data_format":true)")));
  }
  EXPECT_ERROR(PlanOnnx(*OpenDemo(), *FindRecipe("int8-f16-web")), kUnimplemented, "-f16", "-web");
}

TEST(OnnxData, AFileEndsBeforeItWouldBeTooLarge) {
  onnx::GraphProto graph;
  const ModelDescription model;
  OnnxData data(model, graph, "onnx/model.onnx_data", 8192);
  for (const char* name : {"a", "b", "c"})
    data.AddValues(name, {1000}, DType::kF32, std::vector<float>(1000));
  data.AddView("b_again", "b", {10, 100});
  const std::vector<PlannedFile> files = data.TakeFiles();
  ASSERT_EQ(files.size(), 2u);
  EXPECT_EQ(files[0].file.path, "onnx/model.onnx_data");
  EXPECT_EQ(files[1].file.path, "onnx/model.onnx_data_1");
  std::map<std::string, std::string> locations;
  for (const onnx::TensorProto& tensor : graph.initializer())
    locations[tensor.name()] = tensor.external_data(0).value();
  EXPECT_EQ(locations, (std::map<std::string, std::string>{{"a", "model.onnx_data"},
                                                           {"b", "model.onnx_data"},
                                                           {"c", "model.onnx_data_1"},
                                                           {"b_again", "model.onnx_data"}}));
}

}  // namespace
}  // namespace quantfleet::pipeline
