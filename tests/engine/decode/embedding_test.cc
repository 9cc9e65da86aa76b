// Embedding models on real GGUF files, made by the pipeline from tiny random models.
#include "engine/decode/embedding.h"

#include <gmock/gmock.h>

#include <cmath>
#include <numeric>

#include "engine/decode/engine.h"
#include "engine/measure/bench.h"
#include "engine/measure/embedding_comparison.h"
#include "engine/measure/golden.h"
#include "pipeline/format/registry/open_model.h"
#include "pipeline/stage/folder_sink.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tiny_model.h"

namespace quantfleet::engine {
namespace {

using quantfleet::testing::TempDir;
using quantfleet::testing::WritePooling;
using quantfleet::testing::WriteTinyModel;

class EmbeddingTest : public ::testing::Test {
 protected:
  // OUT/gguf-RECIPE/model.gguf of a tiny Qwen 3 that pools so.
  void Make(std::string_view flag, const std::vector<std::string>& recipes) {
    WriteTinyModel(dir_ / "hf", "qwen3", {.tied = true});
    WritePooling(dir_ / "hf", flag);
    const absl::Status status = Quantize(recipes);
    ASSERT_TRUE(status.ok()) << status;
  }
  absl::Status Quantize(const std::vector<std::string>& recipes) {
    QF_ASSIGN_OR_RETURN(const auto source, pipeline::OpenModel(RealFileSystem(), dir_ / "hf"));
    std::vector<pipeline::TargetSpec> targets;
    for (const std::string& recipe : recipes) targets.push_back({"gguf", recipe});
    QF_ASSIGN_OR_RETURN(const pipeline::Plan plan, MakePlan(*source, targets));
    QF_ASSIGN_OR_RETURN(const auto sink,
                        pipeline::FolderSink::Open(RealFileSystem(), dir_ / "out", plan, {}));
    QF_ASSIGN_OR_RETURN(const auto made, Execute(*source, plan, *sink, {.threads = 1}));
    for (const v1::Manifest& manifest : made.manifests)
      EXPECT_EQ(manifest.kind(), v1::Manifest::KIND_EMBEDDING_MODEL);
    return sink->Finish(made.manifests);
  }
  std::unique_ptr<Engine> Load(std::string_view recipe, const EngineOptions& options = {}) {
    auto engine =
        Engine::Load(dir_ / "out" / fmt::format("gguf-{}", recipe) / "model.gguf", options);
    EXPECT_TRUE(engine.ok()) << engine.status();
    return engine.ok() ? *std::move(engine) : nullptr;
  }
  static std::vector<float> Vector(Engine& engine, std::vector<int32_t> ids) {
    auto made = engine.Embed({{{.text = {}, .ids = std::move(ids)}}});
    EXPECT_TRUE(made.ok()) << made.status();
    return made.ok() ? made->embeddings.at(0) : std::vector<float>();
  }
  TempDir dir_;
};

TEST_F(EmbeddingTest, TheMeanIsOfWhatEachPrefixEndsWith) {
  Make("pooling_mode_mean_tokens", {"f32"});
  const auto mean =
      Load("f32", {.threads = 1, .kv_type = pipeline::DType::kF32, .float_activations = true});
  ASSERT_NE(mean, nullptr);
  EXPECT_EQ(mean->embedding()->pooling, pipeline::Pooling::kMean);
  const std::vector<float> both = Vector(*mean, {5, 9});
  EXPECT_NEAR(std::inner_product(both.begin(), both.end(), both.begin(), 0.0), 1, 1e-6);
  fs::remove_all(dir_ / "out");
  Make("pooling_mode_lasttoken", {"f32"});
  const auto last =
      Load("f32", {.threads = 1, .kv_type = pipeline::DType::kF32, .float_activations = true});
  ASSERT_NE(last, nullptr);
  // The first token's state is the same in both sequences. States have no length of their own left
  // here: the mean lies in the plane of the two.
  const std::vector<float> first = Vector(*last, {5}), second = Vector(*last, {5, 9});
  const double a = Cosine(both, first), b = Cosine(both, second), c = Cosine(first, second);
  const double outside = 1 + 2 * a * b * c - a * a - b * b - c * c;
  EXPECT_NEAR(outside, 0, 1e-6);
  EXPECT_GT(a, c);
  EXPECT_GT(b, c);
}

TEST_F(EmbeddingTest, NeitherThreadsNorCompanyChangeAVector) {
  Make("pooling_mode_lasttoken", {"q8_0"});
  const auto one = Load("q8_0", {.threads = 1}), many = Load("q8_0", {.threads = 3});
  EmbedRequest request{{{.text = "Once upon a time"}, {.text = "x"}}};
  const auto both = many->Embed(request);
  ASSERT_TRUE(both.ok()) << both.status();
  ASSERT_EQ(both->embeddings.size(), 2u);
  EXPECT_EQ(both->prompt_tokens,
            static_cast<int64_t>(one->TokenizeWhole("Once upon a time")->size() +
                                 one->TokenizeWhole("x")->size()));
  for (size_t i = 0; i < 2; ++i) {
    const auto alone = one->Embed({{request.inputs[i]}});
    ASSERT_TRUE(alone.ok()) << alone.status();
    EXPECT_EQ(alone->embeddings[0], both->embeddings[i]);
  }
}

TEST_F(EmbeddingTest, WrongInputsAreNamed) {
  Make("pooling_mode_lasttoken", {"f16"});
  const auto engine = Load("f16", {.threads = 1, .context = 8});
  using Code = absl::StatusCode;
  const std::pair<EmbedRequest, Code> cases[] = {
      {{}, Code::kInvalidArgument},
      {{{{.text = ""}}}, Code::kInvalidArgument},
      {{{{.text = {}, .ids = {-1}}}}, Code::kInvalidArgument},
      {{{{.text = {}, .ids = {320}}}}, Code::kInvalidArgument},
      {{{{.text = {}, .ids = std::vector<int32_t>(9, 1)}}}, Code::kOutOfRange},
  };
  for (const auto& [request, code] : cases) EXPECT_EQ(engine->Embed(request).status().code(), code);
  const auto second = engine->Embed({{{.text = "a"}, {.text = ""}}});
  EXPECT_THAT(std::string(second.status().message()), ::testing::HasSubstr("input[1]"));
  EXPECT_EQ(engine->Generate({.prompt = "a"}).status().code(), Code::kInvalidArgument);
  EXPECT_EQ(engine->Evaluate("a b c").status().code(), Code::kInvalidArgument);
}

TEST_F(EmbeddingTest, WhatGeneratesTextEmbedsNothing) {
  WriteTinyModel(dir_ / "hf", "qwen3", {.tied = true});
  const auto source = pipeline::OpenModel(RealFileSystem(), dir_ / "hf");
  ASSERT_TRUE(source.ok());
  EXPECT_FALSE((*source)->description().embedding);
}

TEST_F(EmbeddingTest, GoldenVectorsTellADamagedModel) {
  Make("pooling_mode_lasttoken", {"f32", "q8_0", "q4_0"});
  const auto engine = Load("f32"), again = Load("q8_0"), other = Load("q4_0");
  const auto golden = MakeGolden(*engine, "Once upon a time", 16);
  ASSERT_TRUE(golden.ok()) << golden.status();
  EXPECT_TRUE(golden->answer.empty());
  EXPECT_EQ(golden->vector.size(), static_cast<size_t>(engine->dimensions()));
  const std::vector<Golden> goldens{*golden};
  EXPECT_EQ(*GoldenAgreement(*engine, goldens), 1);
  EXPECT_EQ(*GoldenAgreement(*again, goldens), 1);
  std::vector<Golden> wrong = goldens;
  std::ranges::reverse(wrong[0].vector);
  EXPECT_EQ(*GoldenAgreement(*engine, wrong), 0);
  wrong[0].vector.resize(3);
  EXPECT_EQ(*GoldenAgreement(*engine, wrong), 0);

  const auto passages = PassagesOf(*engine, "Once upon a time.\n\nThe dog said hello. ", 100);
  ASSERT_TRUE(passages.ok()) << passages.status();
  ASSERT_EQ(passages->size(), 1u);
  const auto self = CompareEmbeddings(*engine, *engine, *passages, {});
  ASSERT_TRUE(self.ok()) << self.status();
  EXPECT_NEAR(self->least_cosine, 1, 1e-6);
  const auto near = CompareEmbeddings(*engine, *again, *passages, {});
  const auto far = CompareEmbeddings(*engine, *other, *passages, {});
  ASSERT_TRUE(near.ok() && far.ok());
  EXPECT_LT(far->mean_cosine, near->mean_cosine);
}

TEST_F(EmbeddingTest, PassagesAreCutAtWhiteSpaceAndNeverWithinACharacter) {
  Make("pooling_mode_lasttoken", {"f16"});
  const auto engine = Load("f16");
  std::string text;
  for (int i = 0; i < 300; ++i) text += "\xc3\xa4";
  const auto passages = PassagesOf(*engine, text + " a b", 10'000);
  ASSERT_TRUE(passages.ok()) << passages.status();
  EXPECT_EQ(passages->size(), 4u);
  EXPECT_TRUE(PassagesOf(*engine, " \n ", 10)->empty());
  EXPECT_EQ(CompareEmbeddings(*engine, *engine, {}, {}).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(EmbeddingTest, AnEncodersTokensSeeEachOtherInBothDirections) {
  WriteTinyModel(dir_ / "hf", "bert", {.kv_heads = 4});
  WritePooling(dir_ / "hf", "pooling_mode_cls_token");
  const absl::Status made = Quantize({"f32", "f16", "q8_0"});
  ASSERT_TRUE(made.ok()) << made;
  const auto engine = Load("f32", {.threads = 1, .float_activations = true}),
             threads = Load("f32", {.threads = 3}), rounded = Load("q8_0");
  ASSERT_NE(engine, nullptr);
  EXPECT_EQ(engine->embedding()->pooling, pipeline::Pooling::kCls);
  const std::vector<float> one = Vector(*engine, {2, 7, 9, 3});
  EXPECT_LT(Cosine(one, Vector(*engine, {2, 7, 10, 3})), 0.9999) << "the first sees the third";
  EXPECT_LT(Cosine(one, Vector(*engine, {2, 9, 7, 3})), 0.9999) << "places matter";
  EXPECT_GT(Cosine(one, Vector(*threads, {2, 7, 9, 3})), 0.99999);
  EXPECT_GT(Cosine(one, Vector(*rounded, {2, 7, 9, 3})), 0.999);
  // Longer than a decoder's batch: still one sequence.
  std::vector<int32_t> many(200, 7);
  const std::vector<float> first = Vector(*engine, many);
  many.back() = 50;
  EXPECT_NE(Vector(*engine, many), first);
  EXPECT_EQ(*engine->TokenizeWhole("at"), (std::vector<int32_t>{2, 9, 8, 3}));
  const BenchOptions bench{.engine = {.threads = 1}};
  EXPECT_EQ(BenchModel(dir_ / "out/gguf-f32/model.gguf", bench).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(Embedding, CutVectorsHaveLengthOneAgain) {
  std::vector<float> vector{0.48f, 0.36f, 0.8f};
  CutTo(2, vector);
  EXPECT_NEAR(vector[0], 0.8, 1e-6);
  EXPECT_NEAR(vector[1], 0.6, 1e-6);
  EXPECT_EQ(Cosine(vector, std::vector<float>{1}), 0);
  const double nothing[] = {0, 0};
  EXPECT_EQ(OfLengthOne(nothing).status().code(), absl::StatusCode::kDataLoss);
  const double broken[] = {NAN, 1};
  EXPECT_EQ(OfLengthOne(broken).status().code(), absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace quantfleet::engine
