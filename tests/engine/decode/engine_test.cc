// The engine on real GGUF files, made by the pipeline from tiny random models.
#include "engine/decode/engine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <random>
#include <thread>

#include "engine/measure/bench.h"
#include "pipeline/family/family.h"
#include "pipeline/format/registry/open_model.h"
#include "pipeline/stage/folder_sink.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tiny_model.h"

namespace quantfleet::engine {
namespace {

using quantfleet::testing::TempDir;
using quantfleet::testing::TinyModelOptions;
using quantfleet::testing::WriteTinyModel;

// SOURCE to OUT/gguf-RECIPE/model.gguf for each recipe.
absl::Status Quantize(const fs::path& source_path, const std::vector<std::string>& recipes,
                      const fs::path& out) {
  QF_ASSIGN_OR_RETURN(const auto source, pipeline::OpenModel(RealFileSystem(), source_path));
  std::vector<pipeline::TargetSpec> targets;
  for (const std::string& recipe : recipes) targets.push_back({"gguf", recipe});
  QF_ASSIGN_OR_RETURN(const pipeline::Plan plan, MakePlan(*source, targets));
  QF_ASSIGN_OR_RETURN(const auto sink, pipeline::FolderSink::Open(RealFileSystem(), out, plan, {}));
  pipeline::ExecutorOptions options;
  options.threads = 1;
  QF_ASSIGN_OR_RETURN(const pipeline::ExecutorResult result,
                      Execute(*source, plan, *sink, options));
  return sink->Finish(result.manifests);
}

class EngineTest : public ::testing::Test {
 protected:
  fs::path Gguf(std::string_view recipe) const {
    return dir_ / "out" / fmt::format("gguf-{}", recipe) / "model.gguf";
  }

  void Make(std::string_view family, const std::vector<std::string>& recipes,
            const TinyModelOptions& options = {}) {
    WriteTinyModel(dir_ / "hf", family, options);
    const absl::Status status = Quantize(dir_ / "hf", recipes, dir_ / "out");
    ASSERT_TRUE(status.ok()) << status;
  }

  std::unique_ptr<Engine> Load(std::string_view recipe,
                               const EngineOptions& options = {.threads = 1}) const {
    auto engine = Engine::Load(Gguf(recipe), options);
    EXPECT_TRUE(engine.ok()) << engine.status();
    return engine.ok() ? std::move(*engine) : nullptr;
  }

  TempDir dir_;
};

TEST_F(EngineTest, EveryArchitectureRunsInEveryRecipe) {
  for (const pipeline::Family* family : pipeline::Decoders()) {
    SCOPED_TRACE(family->name);
    fs::remove_all(dir_ / "hf");
    fs::remove_all(dir_ / "out");
    Make(family->name, {"f32", "f16", "bf16", "q8_0", "q4_0"});
    const std::string text = "Once upon a time the dog said hello.";
    std::vector<double> nll;
    for (const char* recipe : {"f32", "f16", "bf16", "q8_0", "q4_0"}) {
      const auto engine = Load(recipe);
      ASSERT_NE(engine, nullptr);
      const auto result = engine->Evaluate(text);
      ASSERT_TRUE(result.ok()) << result.status();
      EXPECT_EQ(result->tokens, static_cast<int64_t>(engine->Tokenize(text, true)->size()));
      nll.push_back(result->mean_nll);
    }
    // The source is BF16: F32 and BF16 hold the same values.
    EXPECT_EQ(nll[0], nll[2]);
    EXPECT_NEAR(nll[1], nll[0], 1e-3 * nll[0]);
    EXPECT_NEAR(nll[3], nll[0], 2e-2 * nll[0]);
    EXPECT_NE(nll[4], nll[0]);
  }
}

TEST_F(EngineTest, EvaluationFollowsFromLogits) {
  Make("llama", {"f16"});
  const auto engine = Load("f16");
  ASSERT_NE(engine, nullptr);
  const std::vector<int32_t> ids =
      *engine->Tokenize("a long enough text to fill more than one batch of thirty-two", true);
  ASSERT_GT(ids.size(), 33u);
  const std::vector<float> logits = *engine->Logits(ids);
  ASSERT_EQ(logits.size(), ids.size() * static_cast<size_t>(engine->vocab()));
  double sum = 0;
  for (size_t t = 0; t + 1 < ids.size(); ++t) {
    const float* row = logits.data() + t * static_cast<size_t>(engine->vocab());
    double total = 0;
    for (int64_t v = 0; v < engine->vocab(); ++v) total += std::exp(double{row[v]});
    sum += std::log(total) - row[ids[t + 1]];
  }
  const EvalResult result = *engine->EvaluateTokens(ids);
  EXPECT_EQ(result.tokens, static_cast<int64_t>(ids.size()));
  EXPECT_NEAR(result.mean_nll, sum / static_cast<double>(ids.size() - 1), 1e-6);
}

// Whose tokenizer does not run is judged by token ids.
TEST_F(EngineTest, TokenIdsNeedNoTokenizer) {
  Make("llama", {"f16"});
  const auto text = Load("f16"), ids_only = Load("f16", {.threads = 1, .text = false});
  ASSERT_TRUE(text && ids_only);
  const std::vector<int32_t> ids = *text->Tokenize("once upon a time", true);
  EXPECT_EQ(ids_only->EvaluateTokens(ids)->mean_nll, text->EvaluateTokens(ids)->mean_nll);
  EXPECT_EQ(ids_only->Tokenize("once", true).status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(ids_only->Evaluate("once").status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(ids_only->Generate({.prompt = "once"}).status().code(),
            absl::StatusCode::kFailedPrecondition);
  const std::vector<int32_t> beyond{1, static_cast<int32_t>(text->vocab())};
  EXPECT_EQ(ids_only->EvaluateTokens(beyond).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(EngineTest, BenchMeasuresAndRefusesWhatDoesNotFit) {
  Make("llama", {"q8_0"});
  const fs::path gguf = Gguf("q8_0");
  const BenchOptions options{
      .engine = {.threads = 2}, .prompt_tokens = 9, .tokens = 3, .rounds = 2, .depths = {0, 20}};
  const auto result = BenchModel(gguf, options);
  ASSERT_TRUE(result.ok()) << result.status();
  ASSERT_EQ(result->rates.size(), 2u);
  for (const auto& [depth, prompt_rate, rate] : result->rates) {
    EXPECT_GT(prompt_rate, 0) << depth;
    EXPECT_GT(rate, 0) << depth;
  }
  EXPECT_EQ(result->rates[1].depth, 20);
  EXPECT_GT(result->weight_bytes_per_token, 1000);
  EXPECT_LT(result->weight_bytes_per_token, static_cast<int64_t>(fs::file_size(gguf)));
  EXPECT_GT(result->peak_rss_bytes, 1 << 20);
  EXPECT_EQ(result->threads, 2);
  BenchOptions beyond = options;
  beyond.prompt_tokens = 1 << 20;
  EXPECT_EQ(BenchModel(gguf, beyond).status().code(), absl::StatusCode::kInvalidArgument);
  beyond = options;
  beyond.depths = {1 << 20};
  EXPECT_EQ(BenchModel(gguf, beyond).status().code(), absl::StatusCode::kInvalidArgument);
  beyond.depths = {-1};
  EXPECT_EQ(BenchModel(gguf, beyond).status().code(), absl::StatusCode::kInvalidArgument);
  beyond = options;
  beyond.prompt_tokens = 0;
  EXPECT_EQ(BenchModel(gguf, beyond).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(EngineTest, GenerationIsDeterministicAndStreamsWhatItReturns) {
  Make("phi3", {"q8_0"});
  const auto one = Load("q8_0", {.threads = 1}), two = Load("q8_0", {.threads = 2});
  ASSERT_TRUE(one && two);
  std::string streamed;
  GenerateRequest request{.prompt = "the cat", .max_tokens = 40, .sampling = {.seed = 9}};
  request.on_text = [&](std::string_view piece, auto) { return streamed += piece, true; };
  const GenerateResult a = *one->Generate(request);
  EXPECT_EQ(streamed, a.text);
  EXPECT_EQ(a.prompt_tokens, static_cast<int64_t>(one->Tokenize("the cat", true)->size()));
  request.on_text = nullptr;
  const GenerateResult b = *two->Generate(request), again = *one->Generate(request);
  EXPECT_EQ(a.tokens, b.tokens);
  EXPECT_EQ(a.tokens, again.tokens);
  EXPECT_EQ(a.text, b.text);
  request.sampling.seed = 10;
  EXPECT_NE((*one->Generate(request)).tokens, a.tokens);
}

TEST_F(EngineTest, GreedyPicksTheLikeliestOfTheWholeSequence) {
  Make("qwen2", {"f32"});
  const auto engine = Load("f32");
  ASSERT_NE(engine, nullptr);
  const GenerateResult result =
      *engine->Generate({.prompt = "abc", .max_tokens = 12, .sampling = {.temperature = 0}});
  std::vector<int32_t> ids = *engine->Tokenize("abc", true);
  for (int32_t token : result.tokens) {
    const std::vector<float> logits = *engine->Logits(ids);
    const auto last = logits.end() - engine->vocab();
    ASSERT_EQ(token, std::max_element(last, logits.end()) - last);
    ids.push_back(token);
  }
}

TEST_F(EngineTest, EndsAtTheLimitTheContextAndTheCallersWish) {
  Make("phi3", {"f32"}, {.context = 32});
  const auto engine = Load("f32");
  ASSERT_NE(engine, nullptr);
  EXPECT_EQ(engine->context(), 32);
  GenerateRequest request{.prompt = "hello", .max_tokens = 3, .sampling = {.seed = 2}};
  GenerateResult result = *engine->Generate(request);
  EXPECT_EQ(result.tokens.size(), 3u);
  EXPECT_EQ(result.finish_reason, "length");
  request.max_tokens = 0;
  result = *engine->Generate(request);
  EXPECT_TRUE(result.tokens.empty());
  EXPECT_EQ(result.finish_reason, "length");
  // Seeds whose text ends early by itself are passed over.
  request.max_tokens = 1000;
  bool filled = false;
  for (uint64_t seed = 0; seed < 20 && !filled; ++seed) {
    request.sampling.seed = seed;
    result = *engine->Generate(request);
    filled = result.finish_reason == "length";
  }
  EXPECT_TRUE(filled);
  // The last token needs no place of its own.
  EXPECT_EQ(static_cast<int64_t>(result.tokens.size()) + result.prompt_tokens, 33);
  request.on_text = [](std::string_view, auto) { return false; };
  EXPECT_EQ((*engine->Generate(request)).finish_reason, "cancelled");
}

// Of several ends the first alone was kept, and a chat went on behind the others.
TEST_F(EngineTest, GenerationStopsAtEveryEnd) {
  Make("phi3", {"f32"});
  const GenerateRequest request{
      .prompt = "hello", .max_tokens = 20, .sampling = {.temperature = 0}};
  const std::vector<int32_t> whole = (*Load("f32")->Generate(request)).tokens;
  ASSERT_GT(whole.size(), 8u);
  for (const size_t at : {size_t{3}, size_t{8}}) {
    const std::string ends = fmt::format(R"({{"eos_token_id": [2, {}, 5]}})", whole[at]);
    fs::remove_all(dir_.path());
    Make("phi3", {"f32"}, {.generation_config = ends});
    const GenerateResult result = *Load("f32")->Generate(request);
    EXPECT_EQ(result.finish_reason, "stop");
    EXPECT_EQ(result.tokens,
              std::vector<int32_t>(whole.begin(), std::ranges::find(whole, whole[at])))
        << ends;
  }
}

TEST_F(EngineTest, TheModelSaysHowItWantsToBeSampled) {
  Make("llama", {"f16"},
       {.generation_config = R"({"do_sample": true, "temperature": 0.25, "top_k": 7})"});
  const SamplingOptions sampling = Load("f16")->sampling();
  EXPECT_EQ(sampling.temperature, 0.25f);
  EXPECT_EQ(sampling.top_k, 7);
  EXPECT_EQ(sampling.top_p, SamplingOptions().top_p);
}

TEST_F(EngineTest, TooLongAPromptNamesBothNumbers) {
  Make("phi3", {"f32"}, {.context = 32});
  const auto engine = Load("f32");
  ASSERT_NE(engine, nullptr);
  const std::string text(100, 'z');
  const size_t tokens = engine->Tokenize(text, true)->size();
  ASSERT_GT(tokens, 32u);
  for (const absl::Status& status :
       {engine->Generate({.prompt = text}).status(), engine->Evaluate(text).status()}) {
    EXPECT_TRUE(absl::IsOutOfRange(status) || absl::IsInvalidArgument(status)) << status;
    EXPECT_NE(Message(status).find(fmt::format("{}", tokens)), std::string::npos) << status;
    EXPECT_NE(Message(status).find("32"), std::string::npos) << status;
  }
  EXPECT_EQ(engine->Begin({.prompt = text}).status().code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(engine->Evaluate("").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(engine->EvaluateTokens(std::vector<int32_t>{1, 1 << 20}).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(EngineTest, OptionsWithoutMeaningAreRefused) {
  Make("phi3", {"f32"}, {.context = 32});
  for (const EngineOptions& options :
       {EngineOptions{.threads = -1}, EngineOptions{.threads = 100000},
        EngineOptions{.context = 33}, EngineOptions{.context = -1}})
    EXPECT_EQ(Engine::Load(Gguf("f32"), options).status().code(),
              absl::StatusCode::kInvalidArgument);
  EXPECT_NE(Message(Engine::Load(Gguf("f32"), {.context = 33}).status())
                .find("exceeds the model's maximum of 32"),
            std::string::npos);
  EXPECT_EQ(Load("f32", {.threads = 1, .context = 16})->context(), 16);
  const auto engine = Load("f32");
  EXPECT_FALSE(engine->Generate({.prompt = "a", .max_tokens = -1}).ok());
  EXPECT_FALSE(engine->Generate({.prompt = "a", .sampling = {.temperature = -2}}).ok());
}

// Before anything is allocated, with the largest context that would fit; what fits is taken.
TEST_F(EngineTest, AContextThatMemoryDoesNotHoldIsRefusedAtLoad) {
  Make("phi3", {"f32"}, {.context = 1 << 20});
  EngineOptions options{.threads = 1, .context = 1 << 20, .memory_available = 64 << 20};
  const absl::Status status = Engine::Load(Gguf("f32"), options).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  const std::string text(Message(status)), key = "--context ";
  ASSERT_NE(text.find(key), std::string::npos) << status;
  options.context = std::stoll(std::string(text.substr(text.find(key) + key.size())));
  EXPECT_GT(options.context, 1 << 10);
  EXPECT_EQ(Load("f32", options)->context(), options.context);
  options.context += 256;
  EXPECT_EQ(Engine::Load(Gguf("f32"), options).status().code(),
            absl::StatusCode::kResourceExhausted);
  options.kv_type = pipeline::DType::kQ8_0;  // a head of 16 takes more room in whole blocks of it
  EXPECT_EQ(Engine::Load(Gguf("f32"), options).status().code(),
            absl::StatusCode::kResourceExhausted);
  options.memory_available = 1000;
  EXPECT_NE(Message(Engine::Load(Gguf("f32"), options).status()).find("no context fits"),
            std::string::npos);
}

TEST_F(EngineTest, EveryCacheTypeRunsAndNoOtherIsTaken) {
  Make("llama", {"f16"});
  const std::string text = "a long enough text to fill more than one batch of thirty-two";
  const double floats =
      Load("f16", {.threads = 1, .kv_type = pipeline::DType::kF32})->Evaluate(text)->mean_nll;
  for (const auto& [type, limit] :
       {std::pair(pipeline::DType::kF16, 5e-4), {pipeline::DType::kQ8_0, 5e-3}}) {
    const auto engine = Load("f16", {.threads = 2, .kv_type = type});
    const double nll = engine->Evaluate(text)->mean_nll;
    EXPECT_NE(nll, floats);
    EXPECT_NEAR(nll, floats, limit * floats) << pipeline::Info(type).name;
    EXPECT_TRUE(engine->Generate({.prompt = "a", .max_tokens = 5}).ok());
  }
  EXPECT_EQ(Engine::Load(Gguf("f16"), {.kv_type = pipeline::DType::kBF16}).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(EngineTest, WhatIsSkippedIsReadButNotJudged) {
  Make("llama", {"f16"});
  const auto engine = Load("f16", {.threads = 1, .float_activations = true});
  const std::vector<int32_t> ids =
      *engine->Tokenize("a long enough text to fill more than one batch of thirty-two", true);
  const auto count = static_cast<int64_t>(ids.size());
  const double all = engine->EvaluateTokens(ids)->mean_nll,
               behind = engine->EvaluateTokens(ids, 20)->mean_nll;
  const double front = engine->EvaluateTokens(std::span(ids).first(20))->mean_nll;
  EXPECT_NEAR(all * static_cast<double>(count - 1),
              front * 19 + behind * static_cast<double>(count - 20), 1e-4);
  for (const int64_t skip : {int64_t{-1}, count - 1})
    EXPECT_EQ(engine->EvaluateTokens(ids, skip).status().code(), absl::StatusCode::kInvalidArgument)
        << skip;
}

TEST_F(EngineTest, CallersOnManyThreadsWaitForEachOther) {
  Make("phi3", {"f32"});
  const auto engine = Load("f32");
  ASSERT_NE(engine, nullptr);
  const GenerateRequest request{.prompt = "the", .max_tokens = 8, .sampling = {.seed = 4}};
  const std::vector<int32_t> alone = (*engine->Generate(request)).tokens;
  std::vector<std::vector<int32_t>> results(4);
  {
    std::vector<std::jthread> threads;
    for (auto& result : results)
      threads.emplace_back([&] { result = (*engine->Generate(request)).tokens; });
  }
  for (const auto& result : results) EXPECT_EQ(result, alone);
}

TEST_F(EngineTest, GenerationsThatShareStepsSayWhatTheySayAlone) {
  Make("phi3", {"q8_0"});
  const auto engine = Load("q8_0", {.threads = 2});
  ASSERT_NE(engine, nullptr);
  std::vector<GenerateRequest> requests;
  for (int i = 0; i < 6; ++i)
    requests.push_back(
        {.prompt = std::string(static_cast<size_t>(1 + 40 * i), static_cast<char>('a' + i)),
         .max_tokens = 30 - 4 * i,
         .sampling = {.seed = static_cast<uint64_t>(i)}});
  std::vector<GenerateResult> alone;
  for (const GenerateRequest& request : requests) alone.push_back(*engine->Generate(request));
  // Each joins two steps behind the one before it; the last is left before its end.
  std::vector<std::unique_ptr<Continuation>> all;
  std::vector<Continuation*> live;
  for (const GenerateRequest& request : requests) {
    all.push_back(*engine->Begin(request));
    live.push_back(all.back().get());
    for (int step = 0; step < 2; ++step) engine->Step(live);
  }
  live.pop_back();
  const auto done = [](const Continuation* one) { return one->done(); };
  while (!std::ranges::all_of(live, done)) engine->Step(live);
  for (size_t i = 0; i < live.size(); ++i) {
    const GenerateResult together = *live[i]->Take();
    EXPECT_EQ(together.tokens, alone[i].tokens) << i;
    EXPECT_EQ(together.text, alone[i].text) << i;
    EXPECT_EQ(together.finish_reason, alone[i].finish_reason) << i;
  }
  EXPECT_EQ((*all.back()->Take()).finish_reason, "cancelled");
}

TEST_F(EngineTest, ProbabilitiesAreThoseOfTheLogits) {
  Make("qwen2", {"f32"});
  const auto engine = Load("f32");
  ASSERT_NE(engine, nullptr);
  GenerateRequest request{
      .prompt = "abc", .max_tokens = 8, .sampling = {.seed = 3}, .top_logprobs = 3};
  std::vector<TokenProbability> streamed;
  request.on_text = [&](std::string_view, std::span<const TokenProbability> tokens) {
    streamed.insert(streamed.end(), tokens.begin(), tokens.end());
    return true;
  };
  const GenerateResult result = *engine->Generate(request);
  ASSERT_EQ(result.probabilities.size(), result.tokens.size());
  EXPECT_EQ(streamed.size(), result.tokens.size());
  std::vector<int32_t> ids = *engine->Tokenize("abc", true);
  std::string bytes;
  for (size_t i = 0; i < result.tokens.size(); ++i) {
    const std::vector<float> all = *engine->Logits(ids);
    const std::vector<float> logits(all.end() - engine->vocab(), all.end());
    double sum = 0;
    for (float logit : logits) sum += std::exp(double{logit});
    const TokenProbability& told = result.probabilities[i];
    EXPECT_NEAR(told.logprob, logits[result.tokens[i]] - std::log(sum), 1e-4);
    ASSERT_EQ(told.top.size(), 3u);
    EXPECT_NEAR(told.top[0].second, std::ranges::max(logits) - std::log(sum), 1e-4);
    EXPECT_GE(told.top[0].second, told.top[1].second);
    bytes += told.bytes;
    ids.push_back(result.tokens[i]);
  }
  // Without a character that has only begun the text is its tokens' bytes.
  if (result.text.find("\xef\xbf\xbd") == std::string::npos) {
    EXPECT_EQ(bytes, result.text);
  }
  request.top_logprobs = -1;
  EXPECT_TRUE((*engine->Generate(request)).probabilities.empty());
}

TEST_F(EngineTest, TokensThatOnlyMadeAStopStringAreNotTold) {
  Make("phi3", {"f32"});
  const auto engine = Load("f32");
  ASSERT_NE(engine, nullptr);
  GenerateRequest request{
      .prompt = "the cat", .max_tokens = 40, .sampling = {.seed = 9}, .top_logprobs = 0};
  const GenerateResult whole = *engine->Generate(request);
  ASSERT_GT(whole.text.size(), 12u);
  request.stop = {whole.text.substr(6, 4)};
  const GenerateResult cut = *engine->Generate(request);
  EXPECT_EQ(cut.finish_reason, "stop");
  const size_t end = whole.text.find(request.stop[0]);
  EXPECT_EQ(cut.text, whole.text.substr(0, end));
  ASSERT_LE(cut.probabilities.size(), cut.tokens.size());
  for (const TokenProbability& token : cut.probabilities)
    EXPECT_LT(token.offset, static_cast<int64_t>(end));
}

// Reading a mapped page behind the file's end is a SIGBUS, on whichever thread of the pool.
TEST_F(EngineTest, AFileThatIsCutShortWhileItRunsIsAnErrorOfItsGenerations) {
  Make("llama", {"f32"});
  for (const int threads : {1, 4}) {
    const auto engine = Load("f32", {.threads = threads});
    ASSERT_NE(engine, nullptr);
    const GenerateRequest request{.prompt = "the", .max_tokens = 8, .sampling = {.seed = 4}};
    ASSERT_TRUE(engine->Generate(request).ok());
    ASSERT_TRUE(engine->condition().ok());
    const std::string whole = *RealFileSystem().ReadAll(Gguf("f32"));
    fs::resize_file(Gguf("f32"), 100);
    EXPECT_EQ(engine->Generate(request).status().code(), absl::StatusCode::kDataLoss);
    EXPECT_EQ(engine->condition().code(), absl::StatusCode::kDataLoss);
    EXPECT_FALSE(engine->EvaluateTokens(std::vector<int32_t>{1, 2, 3}).ok());
    // Whole again on the disk, it is so for the next that loads it.
    const auto file = RealFileSystem().Open(Gguf("f32"), OpenMode::kUpdate);
    ASSERT_TRUE((*file)->WriteAt(0, AsBytes(whole)).ok());
    EXPECT_FALSE(engine->Generate(request).ok());
    EXPECT_TRUE(Load("f32")->Generate(request).ok());
  }
}

TEST_F(EngineTest, DamagedFilesAreErrors) {
  Make("llama", {"q4_0"});
  const std::string whole = *RealFileSystem().ReadAll(Gguf("q4_0"));
  const fs::path bad = dir_ / "bad.gguf";
  EXPECT_FALSE(Engine::Load(bad, {}).ok());
  for (size_t size : {size_t{0}, size_t{3}, size_t{40}, whole.size() / 2, whole.size() - 1}) {
    quantfleet::testing::WriteFile(bad, std::string_view(whole).substr(0, size));
    EXPECT_FALSE(Engine::Load(bad, {.threads = 1}).ok()) << size << " bytes";
  }
  // Header bytes turned at random: an error or a model, never a crash.
  std::mt19937_64 random(17);
  int loaded = 0;
  for (int round = 0; round < 120; ++round) {
    std::string bytes = whole;
    for (int i = 0; i < 3; ++i) bytes[random() % 12000] = static_cast<char>(random());
    quantfleet::testing::WriteFile(bad, bytes);
    const auto engine = Engine::Load(bad, {.threads = 1, .context = 8});
    if (!engine.ok()) continue;
    ++loaded;
    const auto result =
        (*engine)->Generate({.prompt = "a", .max_tokens = 2, .sampling = {.temperature = 0}});
    EXPECT_TRUE(result.ok() || !Message(result.status()).empty());
  }
  EXPECT_GT(loaded, 0);
  EXPECT_LT(loaded, 120);
}

TEST_F(EngineTest, InfiniteWeightsAreReportedNotSampled) {
  Make("llama", {"f32"});
  std::string bytes = *RealFileSystem().ReadAll(Gguf("f32"));
  std::memset(bytes.data() + bytes.size() - 4096, 0xff, 4096);  // NaN
  quantfleet::testing::WriteFile(dir_ / "bad.gguf", bytes);
  const auto engine = Engine::Load(dir_ / "bad.gguf", {.threads = 1});
  ASSERT_TRUE(engine.ok()) << engine.status();
  EXPECT_EQ((*engine)->Generate({.prompt = "a"}).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ((*engine)->Evaluate("a text").status().code(), absl::StatusCode::kDataLoss);
}

// A really trained model and what llama2.c says with it at temperature 0.
TEST_F(EngineTest, TellsTheStoryThatLlama2cTells) {
  const char* shared = std::getenv("QUANTFLEET_SHARED");
  if (shared == nullptr) GTEST_SKIP() << "QUANTFLEET_SHARED is not set: no trained model";
  const fs::path model = fs::path(shared) / "models/stories260k";
  const absl::Status status = Quantize(model, {"f32"}, dir_ / "out");
  ASSERT_TRUE(status.ok()) << status;
  const auto engine = Load("f32", {});
  ASSERT_NE(engine, nullptr);
  std::string golden = *RealFileSystem().ReadAll(model / "golden-greedy.txt");
  while (!golden.empty() && golden.back() == '\n') golden.pop_back();
  const std::string prompt = "Once upon a time";
  const GenerateResult result =
      *engine->Generate({.prompt = prompt, .max_tokens = 256, .sampling = {.temperature = 0}});
  const std::string text = prompt + result.text;
  EXPECT_EQ(text.substr(0, golden.size()), golden);
}

}  // namespace
}  // namespace quantfleet::engine
