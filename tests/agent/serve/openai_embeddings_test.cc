#include "agent/serve/openai_embeddings.h"

#include <gmock/gmock.h>

#include <boost/json.hpp>
#include <cmath>

#include "tests/agent/serve/fake_engine.h"

namespace quantfleet::agent {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(OpenAiEmbeddings, EveryFormOfInput) {
  const auto text = ParseEmbeddingsRequest(R"({"input":"a","model":"m","user":"x"})");
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_EQ(text->model, "m");
  EXPECT_FALSE(text->base64);
  EXPECT_EQ(text->dimensions, 0);
  ASSERT_EQ(text->embed.inputs.size(), 1u);
  EXPECT_EQ(text->embed.inputs[0].text, "a");
  const auto texts =
      ParseEmbeddingsRequest(R"({"input":["a","b"],"encoding_format":"base64","dimensions":3})");
  ASSERT_TRUE(texts.ok()) << texts.status();
  EXPECT_TRUE(texts->base64);
  EXPECT_EQ(texts->dimensions, 3);
  ASSERT_EQ(texts->embed.inputs.size(), 2u);
  EXPECT_EQ(texts->embed.inputs[1].text, "b");
  const auto ids = ParseEmbeddingsRequest(R"({"input":[1,2]})");
  ASSERT_TRUE(ids.ok()) << ids.status();
  ASSERT_EQ(ids->embed.inputs.size(), 1u);
  EXPECT_THAT(ids->embed.inputs[0].ids, ElementsAre(1, 2));
  const auto lists = ParseEmbeddingsRequest(R"({"input":[[1],[2,3]]})");
  ASSERT_TRUE(lists.ok()) << lists.status();
  ASSERT_EQ(lists->embed.inputs.size(), 2u);
  EXPECT_THAT(lists->embed.inputs[1].ids, ElementsAre(2, 3));
}

TEST(OpenAiEmbeddings, WrongOnesNameTheField) {
  const std::pair<const char*, const char*> cases[] = {
      {"[]", "object"},
      {"{}", "input is missing"},
      {R"({"input":null})", "input is missing"},
      {R"({"input":""})", "input is an empty string"},
      {R"({"input":[]})", "input is an empty list"},
      {R"({"input":[[]]})", "input[0] is an empty list"},
      {R"({"input":["a",""]})", "input[1] is an empty string"},
      {R"({"input":["a",1]})", "input must be"},
      {R"({"input":[[1],"a"]})", "input must be"},
      {R"({"input":[1,"a"]})", "\"a\" where a token id"},
      {R"({"input":[1.5]})", "where a token id"},
      {R"({"input":[4294967296]})", "where a token id"},
      {R"({"input":{"a":1}})", "input must be"},
      {R"({"input":true})", "input must be"},
      {R"({"input":"a","encoding_format":"hex"})", "encoding_format"},
      {R"({"input":"a","encoding_format":1})", "encoding_format"},
      {R"({"input":"a","dimensions":0})", "dimensions"},
      {R"({"input":"a","model":1})", "model"},
  };
  for (const auto& [body, field] : cases) {
    const auto request = ParseEmbeddingsRequest(body);
    ASSERT_EQ(request.status().code(), absl::StatusCode::kInvalidArgument) << body;
    EXPECT_THAT(std::string(request.status().message()), HasSubstr(field)) << body;
  }
}

TEST(OpenAiEmbeddings, AnswersAreNumbersOrBase64) {
  engine::GenerateResult result;
  result.embeddings = {{0.6f, -0.8f}, {1.f, 0.f}};
  result.prompt_tokens = 5;
  const auto answer = boost::json::parse(RenderEmbeddings({}, "m\"", result)).as_object();
  EXPECT_EQ(answer.at("object"), "list");
  EXPECT_EQ(answer.at("model"), "m\"");
  EXPECT_EQ(answer.at("usage").at("prompt_tokens"), 5);
  EXPECT_EQ(answer.at("usage").at("total_tokens"), 5);
  const auto& data = answer.at("data").as_array();
  ASSERT_EQ(data.size(), 2u);
  EXPECT_EQ(data[1].at("index"), 1);
  EXPECT_EQ(data[1].at("object"), "embedding");
  EXPECT_EQ(data[0].at("embedding").at(1).to_number<float>(), -0.8f);
  const auto base64 = boost::json::parse(RenderEmbeddings({.base64 = true}, "m", result));
  // 1.0f is 00 00 80 3f.
  EXPECT_EQ(base64.at("data").at(1).at("embedding"), "AACAPwAAAAA=");
}

class Embedding final : public FakeEngine {
 public:
  explicit Embedding(pipeline::EmbeddingUse use) : FakeEngine({}), use_(std::move(use)) {}
  const pipeline::EmbeddingUse* embedding() const override { return &use_; }
  int64_t dimensions() const override { return 8; }

 private:
  const pipeline::EmbeddingUse use_;
};

TEST(OpenAiEmbeddings, OnlyMatryoshkasAreCut) {
  const auto check = [](pipeline::EmbeddingUse use, int64_t dimensions) {
    return CheckDimensions({.dimensions = dimensions}, Embedding(std::move(use))).ok();
  };
  EXPECT_TRUE(check({}, 0));
  EXPECT_TRUE(check({}, 8));
  EXPECT_FALSE(check({}, 4));
  EXPECT_FALSE(check({.any_dimensions = true}, 9));
  EXPECT_TRUE(check({.any_dimensions = true}, 5));
  EXPECT_TRUE(check({.dimensions = {2, 4}}, 4));
  EXPECT_FALSE(check({.dimensions = {2, 4}}, 5));
  engine::GenerateResult result;
  result.embeddings = {{0.48f, 0.36f, 0.8f}};
  const auto cut = VectorsFor({.dimensions = 2}, result);
  EXPECT_NEAR(cut[0][0], 0.8, 1e-6);
  EXPECT_NEAR(cut[0][1], 0.6, 1e-6);
}

}  // namespace
}  // namespace quantfleet::agent
