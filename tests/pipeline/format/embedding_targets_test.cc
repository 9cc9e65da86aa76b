// What only a planner sees of the folders of embedding models; that their vectors are right is
// judged in tests/e2e/test_embedding_runtimes.py.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <pugixml.hpp>

#include "onnx/onnx.pb.h"
#include "pipeline/format/mlx/mlx_target.h"
#include "pipeline/format/onnx/onnx_target.h"
#include "pipeline/format/openvino/openvino_target.h"
#include "tests/pipeline/format/demo_layout.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tiny_model.h"

namespace quantfleet::pipeline {
namespace {

using ::testing::ElementsAre;

class EmbeddingTargetsTest : public ::testing::Test {
 protected:
  // An encoder, pooled by mean, or a decoder that `flag` makes an embedding model.
  std::unique_ptr<ModelSource> Tiny(std::string_view family, std::string_view flag,
                                    const testing::TinyModelOptions& options = {}) {
    testing::WriteTinyModel(dir_ / "model", family, options);
    testing::WritePooling(dir_ / "model", flag);
    auto source = OpenModel(RealFileSystem(), dir_ / "model");
    EXPECT_OK(source);
    return *std::move(source);
  }

  const testing::TempDir dir_;
};

std::vector<std::string> Names(
    const google::protobuf::RepeatedPtrField<onnx::ValueInfoProto>& values) {
  std::vector<std::string> names;
  for (const onnx::ValueInfoProto& value : values) names.push_back(value.name());
  return names;
}

onnx::GraphProto GraphOf(const ModelSource& source, const char* recipe) {
  const auto layout = PlanOnnx(source, *FindRecipe(recipe));
  EXPECT_OK(layout);
  onnx::ModelProto model;
  EXPECT_TRUE(model.ParseFromString(FileOf(*layout, "onnx/model.onnx").fixed[0].bytes));
  for (const onnx::TensorProto& tensor : model.graph().initializer())
    for (const auto& entry : tensor.external_data())
      if (entry.key() == "location") {
        EXPECT_EQ(entry.value(), "model.onnx_data") << tensor.name();
      }
  return std::move(*model.mutable_graph());
}

TEST_F(EmbeddingTargetsTest, OnnxHasNoCacheAndTwoResultsInF32) {
  for (const char* recipe : {"fp32", "fp16", "int4", "int8-qdq"}) {
    SCOPED_TRACE(recipe);
    const onnx::GraphProto encoder = GraphOf(*Tiny("bert", "pooling_mode_mean_tokens"), recipe);
    EXPECT_THAT(Names(encoder.input()),
                ElementsAre("input_ids", "attention_mask", "token_type_ids"));
    const onnx::GraphProto decoder = GraphOf(*Tiny("llama", "pooling_mode_lasttoken"), recipe);
    EXPECT_THAT(Names(decoder.input()), ElementsAre("input_ids", "attention_mask"));
    for (const onnx::GraphProto* graph : {&encoder, &decoder}) {
      EXPECT_THAT(Names(graph->output()), ElementsAre("last_hidden_state", "sentence_embedding"));
      for (const onnx::ValueInfoProto& output : graph->output())
        EXPECT_EQ(output.type().tensor_type().elem_type(), onnx::TensorProto::FLOAT);
    }
  }
}

// GroupQueryAttention takes no head of 24 and no padding on the left.
TEST_F(EmbeddingTargetsTest, OnnxAttendsByTheStandard) {
  testing::TinyModelOptions options;
  options.hidden = 96;  // heads of 24
  const auto source = Tiny("llama", "pooling_mode_lasttoken", options);
  const onnx::GraphProto graph = GraphOf(*source, "int8");
  for (const onnx::NodeProto& node : graph.node()) EXPECT_NE(node.op_type(), "GroupQueryAttention");
}

TEST_F(EmbeddingTargetsTest, OpenVinoHasOneResultAndNoState) {
  for (const char* family : {"bert", "llama"}) {
    SCOPED_TRACE(family);
    const auto layout =
        PlanOpenVino(*Tiny(family, "pooling_mode_mean_tokens"), *FindRecipe("int8"));
    ASSERT_OK(layout);
    pugi::xml_document xml;
    ASSERT_TRUE(xml.load_string(FileOf(*layout, "openvino_model.xml").fixed[0].bytes.c_str()));
    int results = 0;
    for (const pugi::xml_node layer : xml.child("net").child("layers")) {
      const std::string type = layer.attribute("type").value();
      EXPECT_NE(type, "ReadValue");
      results += type == "Result" ? 1 : 0;
    }
    EXPECT_EQ(results, 1);
  }
}

// mlx-embeddings would load them, and pool otherwise.
TEST_F(EmbeddingTargetsTest, MlxRefusesWhatItsRuntimeComputesOtherwise) {
  const auto plan = [&](std::string_view family, std::string_view flag,
                        const testing::TinyModelOptions& options = {}) {
    return PlanMlx(*Tiny(family, flag, options), *FindRecipe("int8"));
  };
  EXPECT_OK(plan("bert", "pooling_mode_mean_tokens"));
  EXPECT_ERROR(plan("bert", "pooling_mode_cls_token"), kUnimplemented, "bert", "'cls'");
  EXPECT_OK(plan("qwen3", "pooling_mode_lasttoken"));
  EXPECT_ERROR(plan("qwen3", "pooling_mode_mean_tokens"), kUnimplemented, "qwen3", "'mean'");
  EXPECT_ERROR(plan("llama", "pooling_mode_lasttoken"), kUnimplemented, "llama", "'last'");
  testing::TinyModelOptions scaled;
  scaled.rope_scaling = R"({"type": "linear", "factor": 2.0})";
  EXPECT_ERROR(plan("qwen3", "pooling_mode_lasttoken", scaled), kUnimplemented, "scale");
}

}  // namespace
}  // namespace quantfleet::pipeline
