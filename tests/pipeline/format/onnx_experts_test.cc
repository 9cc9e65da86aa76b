// Which operators a mixture of experts becomes; that the numbers are right is judged in
// tests/e2e/test_onnx*.py and test_runtimes.py.
#include "pipeline/format/onnx/onnx_experts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <set>

#include "onnx/onnx.pb.h"
#include "pipeline/format/onnx/onnx_target.h"
#include "tests/pipeline/format/demo_layout.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tiny_model.h"

namespace quantfleet::pipeline {
namespace {

using ::quantfleet::testing::TempDir;
using ::quantfleet::testing::WriteTinyModel;

class OnnxExpertsTest : public ::testing::Test {
 protected:
  void Plan(const Recipe& recipe, std::string_view family = "qwen3moe") {
    WriteTinyModel(dir_ / "model", family);
    const auto source = OpenModel(RealFileSystem(), dir_ / "model");
    ASSERT_OK(source);
    const auto layout = PlanOnnx(**source, recipe);
    ASSERT_OK(layout);
    ASSERT_TRUE(model_.ParseFromString(FileOf(*layout, "model.onnx").fixed[0].bytes));
    config_ = FileOf(*layout, "genai_config.json").fixed[0].bytes;
    nodes_.clear();
    Visit(model_.graph());
  }
  void Visit(const onnx::GraphProto& graph) {
    for (const onnx::NodeProto& node : graph.node()) {
      nodes_[node.op_type()].push_back(&node);
      for (const onnx::AttributeProto& attribute : node.attribute())
        if (attribute.has_g()) Visit(attribute.g());
    }
  }
  static std::map<std::string, int64_t> Integers(const onnx::NodeProto& node) {
    std::map<std::string, int64_t> found;
    for (const onnx::AttributeProto& a : node.attribute())
      if (a.type() == onnx::AttributeProto::INT) found[a.name()] = a.i();
    return found;
  }
  std::vector<int64_t> ShapeOf(std::string_view name) const {
    for (const onnx::TensorProto& tensor : model_.graph().initializer())
      if (tensor.name() == name) return {tensor.dims().begin(), tensor.dims().end()};
    ADD_FAILURE() << name << " is not there";
    return {};
  }

  TempDir dir_;
  onnx::ModelProto model_;
  std::string config_;
  std::map<std::string, std::vector<const onnx::NodeProto*>> nodes_;
};

constexpr const char* kExperts = "model.layers.1.mlp.experts.";

TEST_F(OnnxExpertsTest, FloatsAreInMoe) {
  for (const char* recipe : {"fp32", "fp16"}) {
    Plan(*FindRecipe(recipe));
    ASSERT_EQ(nodes_["MoE"].size(), 2u) << recipe;
    EXPECT_EQ(Integers(*nodes_["MoE"][0])["k"], 2);
    EXPECT_EQ(nodes_.count("Loop"), 0u) << recipe;
    // Rows of gate and up are woven when the model is loaded.
    EXPECT_EQ(ShapeOf(fmt::format("{}gate_proj.weight", kExperts)),
              (std::vector<int64_t>{6, 128, 1, 64}));
    EXPECT_EQ(ShapeOf(fmt::format("{}down_proj.weight", kExperts)),
              (std::vector<int64_t>{6, 64, 128}));
  }
  EXPECT_THAT(config_, ::testing::HasSubstr("\"type\":\"qwen3\""));
}

TEST_F(OnnxExpertsTest, CodesAreInQmoe) {
  for (const auto& [recipe, bits, level, inputs] : {std::tuple{"int4", 4, 4, 7},
                                                    {"int8", 8, 0, 7},
                                                    {"int4-exact", 4, 0, 7},
                                                    {"int4-asym", 4, 4, 13}}) {
    Plan(*FindRecipe(recipe));
    ASSERT_EQ(nodes_["QMoE"].size(), 2u) << recipe;
    std::map<std::string, int64_t> is = Integers(*nodes_["QMoE"][0]);
    EXPECT_EQ(is["expert_weight_bits"], bits) << recipe;
    EXPECT_EQ(is["block_size"], 32) << recipe;
    EXPECT_EQ(is["accuracy_level"], level) << recipe;
    EXPECT_EQ(nodes_["QMoE"][0]->input_size(), inputs) << recipe;
    EXPECT_EQ(ShapeOf(fmt::format("{}up_proj.weight.codes", kExperts)),
              (std::vector<int64_t>{6, 128, 1, 64 * bits / 8}));
    EXPECT_EQ(ShapeOf(fmt::format("{}down_proj.weight.scales", kExperts)),
              (std::vector<int64_t>{6, 64, 4}));
  }
}

// QMoE rounds activations beside codes of eight bits, and its CPU kernel has one width for all.
TEST_F(OnnxExpertsTest, WhatNoKernelHoldsIsALoop) {
  Recipe mixed = *FindRecipe("int4");
  mixed.changes.overrides = {*TypeOverride::Parse("role:ffn_down_expert=q8_0")};
  for (const Recipe& recipe : {*FindRecipe("int8-exact"), mixed}) {
    Plan(recipe);
    EXPECT_EQ(nodes_["Loop"].size(), 2u) << recipe.name;
    EXPECT_EQ(nodes_["GatherBlockQuantized"].size(), 2u * 3 + 1) << recipe.name;
    EXPECT_EQ(nodes_.count("QMoE"), 0u) << recipe.name;
    EXPECT_EQ(ShapeOf(fmt::format("{}gate_proj.weight.scales", kExperts)),
              (std::vector<int64_t>{6, 128, 2}));
  }
}

TEST_F(OnnxExpertsTest, Int8QdqHasTheStandardsOperatorsAlone) {
  for (const char* family : {"qwen3moe", "phimoe", "gpt-oss"}) {
    Plan(*FindRecipe("int8-qdq"), family);
    EXPECT_EQ(nodes_["Loop"].size(), 2u);
    const std::set<std::string> others{"MoE", "QMoE", "GatherBlockQuantized", "MatMulNBits"};
    for (const auto& [op, nodes] : nodes_) {
      EXPECT_FALSE(others.contains(op));
      for (const onnx::NodeProto* node : nodes) EXPECT_EQ(node->domain(), "") << node->name();
    }
  }
}

// gpt-oss: biases of experts, an activation with limits, and attention with sinks.
TEST_F(OnnxExpertsTest, BiasesLimitsAndSinksReachTheOperators) {
  Plan(*FindRecipe("fp32"), "gpt-oss");
  ASSERT_EQ(nodes_["MoE"].size(), 2u);
  const onnx::NodeProto& experts = *nodes_["MoE"][0];
  ASSERT_EQ(experts.input_size(), 6);
  EXPECT_EQ(experts.input(3), "model.layers.0.mlp/gate_up_bias");
  EXPECT_EQ(experts.input(5), "model.layers.0.mlp.experts.down_proj_bias");
  std::map<std::string, float> numbers;
  for (const onnx::AttributeProto& a : experts.attribute())
    if (a.type() == onnx::AttributeProto::FLOAT) numbers[a.name()] = a.f();
  EXPECT_EQ(numbers["activation_alpha"], 1.702f);
  EXPECT_EQ(numbers["activation_beta"], 1.f);
  EXPECT_EQ(numbers["swiglu_limit"], 7.f);
  ASSERT_EQ(nodes_["GroupQueryAttention"].size(), 2u);
  ASSERT_EQ(nodes_["GroupQueryAttention"][1]->input_size(), 12);
  EXPECT_EQ(nodes_["GroupQueryAttention"][1]->input(11), "model.layers.1.self_attn.sinks");
  EXPECT_THAT(config_, ::testing::HasSubstr("\"type\":\"gptoss\""));
  Plan(*FindRecipe("int4"), "gpt-oss");
  EXPECT_EQ(nodes_["QMoE"].size(), 2u);
}

}  // namespace
}  // namespace quantfleet::pipeline
