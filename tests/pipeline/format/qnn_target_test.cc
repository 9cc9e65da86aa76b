// What a compiler for an NPU asks of a graph: fixed shapes, operators of the standard that it has,
// and no float that is not quantized. That the numbers are right is judged in
// tests/e2e/test_onnx_qnn.py.
#include "pipeline/format/onnx/qnn_target.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "onnx/onnx.pb.h"
#include "pipeline/family/family.h"
#include "pipeline/format/registry/open_model.h"
#include "tests/pipeline/format/demo_layout.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tiny_model.h"

namespace quantfleet::pipeline {
namespace {

using ::testing::HasSubstr;
using testing::TempDir;

// Every activation that calibrate --ranges knows, within -4 and 5.
Calibration Measured(const ModelDescription& model) {
  ActivationRanges ranges;
  const auto add = [&](std::string name) { ranges.of.emplace(std::move(name), ValueRange{-4, 5}); };
  for (const char* name : {"token_embd", "output_norm", "logits"}) add(name);
  for (int64_t layer = 0; layer < model.hyper.layers; ++layer)
    for (const char* step :
         {"attn_norm", "attn_q", "attn_k", "attn_v", "attn_q_turned", "attn_k_turned",
          "attn_scores", "attn_heads", "attn_output", "attn_post_norm", "attn_residual", "ffn_norm",
          "ffn_gate", "ffn_up", "ffn_activated", "ffn_down", "ffn_post_norm", "ffn_residual"})
      add(fmt::format("blk.{}.{}", layer, step));
  return {.ranges = std::make_shared<const ActivationRanges>(std::move(ranges))};
}

// Whether each value of a graph is a float, and what is wrong with those that are.
class FloatCheck {
 public:
  explicit FloatCheck(const onnx::GraphProto& graph) : graph_(graph) {
    for (const onnx::TensorProto& tensor : graph.initializer())
      if (tensor.data_type() == onnx::TensorProto::FLOAT) floats_.insert(tensor.name());
    for (const onnx::ValueInfoProto& input : graph.input())
      EXPECT_NE(input.type().tensor_type().elem_type(), onnx::TensorProto::FLOAT) << input.name();
    for (const onnx::NodeProto& node : graph.node())
      for (const std::string& input : node.input()) readers_[input].push_back(&node);
  }

  // An operator reads floats that are decoded, and all that it makes of them is quantized at once.
  // Scales of an embedding's rows are no activation.
  void Run() {
    for (const onnx::NodeProto& node : graph_.node()) {
      const std::string& op = node.op_type();
      const bool decodes = op == "DequantizeLinear", quantizes = op == "QuantizeLinear";
      bool reads = decodes;
      for (const std::string& input : node.input()) reads = reads || floats_.contains(input);
      if (!reads || quantizes) continue;
      for (const std::string& output : node.output()) {
        floats_.insert(output);
        if (decodes) decoded_.insert(output);
      }
      if (decodes || OnlyScales(node.output(0))) continue;
      for (const std::string& input : node.input())
        EXPECT_TRUE(!floats_.contains(input) || decoded_.contains(input))
            << op << " reads " << input << ", which is not quantized";
      for (const std::string& output : node.output())
        for (const onnx::NodeProto* reader : readers_[output])
          EXPECT_EQ(reader->op_type(), "QuantizeLinear") << output << ", made by " << op;
    }
  }

 private:
  bool OnlyScales(const std::string& value) {
    for (const onnx::NodeProto* reader : readers_[value]) {
      const bool as_scale = reader->op_type() == "DequantizeLinear" && reader->input(1) == value;
      if (!as_scale && (reader->op_type() != "Mul" || !OnlyScales(reader->output(0)))) return false;
    }
    return !readers_[value].empty();
  }

  const onnx::GraphProto& graph_;
  std::map<std::string, std::vector<const onnx::NodeProto*>> readers_;
  std::set<std::string> floats_, decoded_;
};

void CheckShapes(const onnx::GraphProto& graph, int64_t tokens) {
  for (const auto* values : {&graph.input(), &graph.output()})
    for (const onnx::ValueInfoProto& value : *values)
      for (const auto& dim : value.type().tensor_type().shape().dim())
        EXPECT_GT(dim.dim_value(), 0) << value.name();
  EXPECT_EQ(graph.input(0).name(), "input_ids");
  EXPECT_EQ(graph.input(0).type().tensor_type().shape().dim(1).dim_value(), tokens);
}

void CheckOperators(const onnx::GraphProto& graph) {
  static const std::set<std::string> kHas = {"Add",
                                             "And",
                                             "Concat",
                                             "DequantizeLinear",
                                             "Gather",
                                             "Gelu",
                                             "Gemm",
                                             "Greater",
                                             "GreaterOrEqual",
                                             "LayerNormalization",
                                             "LessOrEqual",
                                             "LpNormalization",
                                             "MatMul",
                                             "Max",
                                             "Min",
                                             "Mul",
                                             "QuantizeLinear",
                                             "Reshape",
                                             "Sigmoid",
                                             "Softmax",
                                             "Split",
                                             "Sub",
                                             "Tanh",
                                             "Transpose",
                                             "Where"};
  std::set<std::string> made;
  for (const onnx::TensorProto& tensor : graph.initializer())
    EXPECT_TRUE(made.insert(tensor.name()).second) << tensor.name();
  for (const onnx::ValueInfoProto& input : graph.input()) made.insert(input.name());
  for (const onnx::NodeProto& node : graph.node()) {
    EXPECT_TRUE(kHas.contains(node.op_type())) << node.op_type();
    EXPECT_EQ(node.domain(), "");
    for (const std::string& input : node.input())
      EXPECT_TRUE(made.contains(input)) << node.name() << " reads " << input;
    for (const std::string& output : node.output())
      EXPECT_TRUE(made.insert(output).second) << output << " is made twice";
    for (const onnx::AttributeProto& attribute : node.attribute())
      EXPECT_FALSE(attribute.has_g()) << node.name();
  }
}

// By name, where each lies in the weights' file.
std::map<std::string, std::string> Places(const onnx::GraphProto& graph) {
  std::map<std::string, std::string> places;
  for (const onnx::TensorProto& tensor : graph.initializer()) {
    if (tensor.data_location() != onnx::TensorProto::EXTERNAL) continue;
    std::string& place = places[tensor.name()];
    for (const auto& entry : tensor.external_data())
      place += entry.key() + "=" + entry.value() + " ";
    place += fmt::format("type {}", tensor.data_type());
    for (const int64_t dim : tensor.dims()) place += fmt::format(" {}", dim);
  }
  return places;
}

class QnnTargetTest : public ::testing::TestWithParam<const Family*> {};

TEST_P(QnnTargetTest, GraphsAreOfFixedShapesAndQuantizedThroughout) {
  const Family& family = *GetParam();
  TempDir dir;
  testing::WriteTinyModel(dir / "model", family.name, {});
  const auto source = OpenModel(RealFileSystem(), dir / "model");
  ASSERT_OK(source);
  const ModelDescription& model = (*source)->description();
  const Calibration calibration = Measured(model);
  if (family.experts) {
    EXPECT_THAT(PlanQnn(**source, *FindRecipe("qnn-a8w8"), &calibration).status().message(),
                HasSubstr("mixtures of experts"));
    return;
  }
  for (const char* recipe : {"qnn-a16w8", "qnn-a8w8", "qnn-a16w4"}) {
    SCOPED_TRACE(recipe);
    const auto layout = PlanQnn(**source, *FindRecipe(recipe), &calibration);
    ASSERT_OK(layout);
    std::map<std::string, std::string> places;
    for (const auto& [name, tokens] : {std::pair("context.onnx", 64), {"iterator.onnx", 1}}) {
      SCOPED_TRACE(name);
      onnx::ModelProto proto;
      ASSERT_TRUE(proto.ParseFromString(FileOf(*layout, name).fixed[0].bytes));
      EXPECT_EQ(proto.opset_import_size(), 1);
      CheckShapes(proto.graph(), tokens);
      CheckOperators(proto.graph());
      FloatCheck(proto.graph()).Run();
      const auto here = Places(proto.graph());
      EXPECT_TRUE(places.empty() || places == here) << "the graphs do not share their weights";
      places = here;
    }
    EXPECT_GT(places.size(), 20u);
  }
}

INSTANTIATE_TEST_SUITE_P(Families, QnnTargetTest,
                         ::testing::ValuesIn(Decoders().begin(), Decoders().end()),
                         [](const auto& family) {
                           std::string name(family.param->name);
                           std::ranges::replace(name, '-', '_');
                           return name;
                         });

TEST(QnnTarget, SaysWhatItNeeds) {
  TempDir dir;
  testing::WriteTinyModel(dir / "model", "llama", {});
  const auto source = OpenModel(RealFileSystem(), dir / "model");
  ASSERT_OK(source);
  const Recipe recipe = *FindRecipe("qnn-a16w4");
  const Calibration none;
  for (const Calibration* calibration : {static_cast<const Calibration*>(nullptr), &none})
    EXPECT_THAT(PlanQnn(**source, recipe, calibration).status().message(),
                HasSubstr("calibrate --ranges"));
  Calibration lacking = Measured((*source)->description());
  ActivationRanges fewer = *lacking.ranges;
  fewer.of.erase("blk.1.ffn_down");
  lacking.ranges = std::make_shared<const ActivationRanges>(std::move(fewer));
  EXPECT_THAT(PlanQnn(**source, recipe, &lacking).status().message(), HasSubstr("blk.1.ffn_down"));
  Recipe groups = recipe;
  groups.changes.overrides = {*TypeOverride::Parse("role:attn_v=q8_0")};
  const Calibration calibration = Measured((*source)->description());
  EXPECT_THAT(PlanQnn(**source, groups, &calibration).status().message(),
              HasSubstr("role:attn_v=i8_row"));
}

TEST(QnnTarget, ShortContextsAreRefused) {
  TempDir dir;
  testing::WriteTinyModel(dir / "model", "llama", {.context = 100});
  const auto source = OpenModel(RealFileSystem(), dir / "model");
  ASSERT_OK(source);
  const Calibration calibration = Measured((*source)->description());
  EXPECT_THAT(PlanQnn(**source, *FindRecipe("qnn-a8w8"), &calibration).status().message(),
              HasSubstr("too short"));
}

}  // namespace
}  // namespace quantfleet::pipeline
