// Adapters that are merged into a model. That the sums are peft's is judged by
// tests/e2e/test_lora.py.
#include "pipeline/format/safetensors/lora_source.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <mutex>
#include <set>

#include "common/base/bytes.h"
#include "pipeline/format/registry/open_model.h"
#include "pipeline/stage/executor.h"
#include "pipeline/stage/plan.h"
#include "pipeline/tensor/codec.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tiny_model.h"

namespace quantfleet::pipeline {
namespace {

using testing::WriteFile;

constexpr std::string_view kQ = "base_model.model.model.layers.0.self_attn.q_proj";

class LoraSourceTest : public ::testing::Test {
 protected:
  LoraSourceTest() {
    testing::WriteTinyModel(dir_ / "model", "llama");
    fs::create_directories(dir_ / "adapter");
    Config();
  }
  void Config(std::string_view members = "") {
    WriteFile(dir_ / "adapter/adapter_config.json",
              fmt::format(R"({{"peft_type": "LORA", "r": 2, "lora_alpha": 4, "bias": "none",
                               "base_model_name_or_path": "some/base"{}{}}})",
                          members.empty() ? "" : ", ", members));
  }
  struct Tensor {
    std::string name;
    int64_t rows, cols;
    float value = 1;
    std::string dtype = "F32";
  };
  void Weights(const std::vector<Tensor>& tensors) {
    std::string header, data;
    for (const Tensor& t : tensors) {
      const size_t begin = data.size();
      for (int64_t i = 0; i < t.rows * t.cols; ++i)
        data.append(reinterpret_cast<const char*>(&t.value), 4);
      header += fmt::format(R"({}"{}":{{"dtype":"{}","shape":[{},{}],"data_offsets":[{},{}]}})",
                            header.empty() ? "" : ",", t.name, t.dtype, t.rows, t.cols, begin,
                            data.size());
    }
    WriteFile(dir_ / "adapter/adapter_model.safetensors",
              testing::SafetensorsBytes("{" + header + "}", data));
  }
  // A and B of q, which is 64 x 64.
  void WeightsOfQ(float a, float b) {
    Weights({{std::string(kQ) + ".lora_A.weight", 2, 64, a},
             {std::string(kQ) + ".lora_B.weight", 64, 2, b}});
  }
  absl::StatusOr<std::unique_ptr<ModelSource>> Open(double times = 1) {
    QF_ASSIGN_OR_RETURN(auto base, OpenModel(RealFileSystem(), dir_ / "model"));
    return LoraSource::Merge(RealFileSystem(), std::move(base), "my-base",
                             {{dir_ / "adapter", times}});
  }
  static std::vector<float> Values(const ModelSource& source, std::string_view name) {
    const auto& tensors = source.description().tensors;
    for (size_t i = 0; i < tensors.size(); ++i) {
      const SourceTensor& t = tensors[i];
      if (t.name != name) continue;
      Bytes raw(static_cast<size_t>(t.rows * RowBytes(t.dtype, t.cols)));
      EXPECT_OK(source.Read(i, 0, raw));
      std::vector<float> values(static_cast<size_t>(t.rows * t.cols));
      FindCodec(t.dtype)->decode(raw.data(), t.rows * t.cols, values.data());
      return values;
    }
    ADD_FAILURE() << name;
    return {};
  }
  testing::TempDir dir_;
};

TEST_F(LoraSourceTest, AddsScaledProductsToWhatTheAdapterNames) {
  WeightsOfQ(0.5f, 0.25f);
  const auto base = *OpenModel(RealFileSystem(), dir_ / "model");
  const auto merged = Open(0.5);
  ASSERT_OK(merged);
  const std::string name = "model.layers.0.self_attn.q_proj.weight";
  const std::vector<float> before = Values(*base, name), after = Values(**merged, name);
  // alpha / r is 2, the choice halves it, and A and B have a product of 2 * 0.5 * 0.25.
  for (size_t i = 0; i < before.size(); ++i) ASSERT_EQ(after[i], before[i] + 0.25f) << i;
  const std::string other = "model.layers.1.self_attn.q_proj.weight";
  EXPECT_EQ(Values(*base, other), Values(**merged, other));
  for (const SourceTensor& tensor : (*merged)->description().tensors)
    EXPECT_EQ(tensor.dtype, tensor.name == name ? DType::kF32 : DType::kBF16) << tensor.name;
  EXPECT_NE((*merged)->fingerprint().text, base->fingerprint().text);
  EXPECT_NE((*merged)->fingerprint().text, (*Open(1))->fingerprint().text);
  EXPECT_GT((*merged)->scratch_bytes(), base->scratch_bytes());
}

TEST_F(LoraSourceTest, AnyBytesOfAMergedWeightAreThoseOfTheWhole) {
  WeightsOfQ(0.5f, 0.25f);
  const auto merged = *Open();
  const size_t tensor = merged->description().Find(Role::kAttnQ, 0)->tensor;
  Bytes whole(64 * 64 * 4), part(300);
  ASSERT_OK(merged->Read(tensor, 0, whole));
  ASSERT_OK(merged->Read(tensor, 1001, part));
  EXPECT_TRUE(std::ranges::equal(part, ByteSpan(whole).subspan(1001, 300)));
  EXPECT_ERROR(merged->Read(tensor, whole.size() - 299, part), kOutOfRange, "beyond the end");
  merged->Release(tensor, 0, whole.size());
}

TEST_F(LoraSourceTest, ScalesByTheRootOfTheRankAndByPatterns) {
  WeightsOfQ(1, 1);
  const std::string name = "model.layers.0.self_attn.q_proj.weight";
  const float before = Values(**OpenModel(RealFileSystem(), dir_ / "model"), name)[0];
  const auto added = [&](std::string_view config) {
    Config(config);
    const auto merged = Open();
    EXPECT_OK(merged);
    return merged.ok() ? Values(**merged, name)[0] - before : 0;
  };
  EXPECT_NEAR(added(R"("use_rslora": true)"), 2 * 4 / std::sqrt(2.), 1e-5);
  EXPECT_NEAR(added(R"("alpha_pattern": {"k_proj": 64, "q_proj": 16})"), 2 * 16 / 2., 1e-5);
  EXPECT_NEAR(added(R"("alpha_pattern": {"layers\\.[0-3]\\.self_attn.q_proj": 8})"), 2 * 8 / 2.,
              1e-5);
  Weights({{std::string(kQ) + ".lora_A.default.weight", 4, 64},
           {std::string(kQ) + ".lora_B.default.weight", 64, 4}});
  EXPECT_NEAR(added(R"("rank_pattern": {"model.layers.0.self_attn.q_proj": 4})"), 4 * 4 / 4., 1e-5);
}

TEST_F(LoraSourceTest, AnEmbeddingIsChangedByTheTransposedProduct) {
  Weights({{"base_model.model.model.embed_tokens.lora_embedding_A", 2, 320, 0.5f},
           {"base_model.model.model.embed_tokens.lora_embedding_B", 64, 2, 0.5f}});
  const auto merged = Open();
  ASSERT_OK(merged);
  const std::string name = "model.embed_tokens.weight";
  const std::vector<float> before = Values(**OpenModel(RealFileSystem(), dir_ / "model"), name),
                           after = Values(**merged, name);
  for (size_t i = 0; i < before.size(); ++i) ASSERT_EQ(after[i], before[i] + 1.f) << i;
}

TEST_F(LoraSourceTest, AnAdapterOfAnotherShapeRankOrBase) {
  Weights(
      {{std::string(kQ) + ".lora_A.weight", 2, 32}, {std::string(kQ) + ".lora_B.weight", 64, 2}});
  EXPECT_ERROR(Open(), kInvalidArgument, "adapter_model.safetensors", "lora_A", "64 x 32",
               "64 x 64", "my-base", "some/base");
  Weights(
      {{std::string(kQ) + ".lora_A.weight", 3, 64}, {std::string(kQ) + ".lora_B.weight", 64, 3}});
  EXPECT_ERROR(Open(), kInvalidArgument, "lora_A", "rank is 3", "says 2");
  Weights(
      {{std::string(kQ) + ".lora_A.weight", 2, 64}, {std::string(kQ) + ".lora_B.weight", 64, 3}});
  EXPECT_ERROR(Open(), kInvalidArgument, "lora_B", "rank is 3", "lora_A");
  const std::string ninth = "base_model.model.model.layers.9.self_attn.q_proj";
  Weights({{ninth + ".lora_A.weight", 2, 64}, {ninth + ".lora_B.weight", 64, 2}});
  EXPECT_ERROR(Open(), kInvalidArgument, "'model.layers.9.self_attn.q_proj.weight'", "my-base",
               "some/base");
}

TEST_F(LoraSourceTest, HalfAnAdapter) {
  Weights({{std::string(kQ) + ".lora_A.weight", 2, 64}});
  EXPECT_ERROR(Open(), kInvalidArgument, "lora_A", "without its B");
  Weights({{std::string(kQ) + ".lora_B.weight", 64, 2}});
  EXPECT_ERROR(Open(), kInvalidArgument, "lora_B", "without its A");
  Weights(
      {{std::string(kQ) + ".lora_A.weight", 2, 64}, {std::string(kQ) + ".lora_A.b.weight", 2, 64}});
  EXPECT_ERROR(Open(), kInvalidArgument, "two adapters");
}

TEST_F(LoraSourceTest, WhatCannotBeMergedIsRefusedByName) {
  WeightsOfQ(1, 1);
  for (const auto& [config, name] : std::vector<std::pair<std::string, std::string>>{
           {R"("use_dora": true)", "use_dora"},
           {R"("bias": "all")", "'all'"},
           {R"("modules_to_save": ["lm_head"])", "modules_to_save"},
           {R"("init_lora_weights": "pissa_niter_4")", "pissa"},
           {R"("target_parameters": ["experts.down_proj"])", "target_parameters"}}) {
    // The last of two members of one name would be an error of its own.
    WriteFile(dir_ / "adapter/adapter_config.json", fmt::format(R"({{"r": 2, {}}})", config));
    EXPECT_ERROR(Open(), kUnimplemented, "adapter_config.json", name, "merge_and_unload");
  }
  WriteFile(dir_ / "adapter/adapter_config.json", R"({"peft_type": "IA3", "r": 2})");
  EXPECT_ERROR(Open(), kUnimplemented, "'IA3'");
  WriteFile(dir_ / "adapter/adapter_config.json", R"({"peft_type": "LORA", "r": 0})");
  EXPECT_ERROR(Open(), kInvalidArgument, "r is 0");
  Config();
  Weights({{"base_model.model.lm_head.weight", 320, 64}});
  EXPECT_ERROR(Open(), kUnimplemented, "'base_model.model.lm_head.weight'");
}

TEST_F(LoraSourceTest, WhatIsMissingIsNamed) {
  EXPECT_ERROR(Open(), kNotFound, "adapter_model.safetensors");
  WriteFile(dir_ / "adapter/adapter_model.bin", "x");
  EXPECT_ERROR(Open(), kNotFound, "adapter_model.bin", "safe_serialization");
  fs::remove(dir_ / "adapter/adapter_config.json");
  EXPECT_ERROR(Open(), kNotFound, "adapter_config.json");
}

TEST_F(LoraSourceTest, ATiedEmbeddingIsNotChanged) {
  testing::WriteTinyModel(dir_ / "model", "llama", {.tied = true});
  Weights({{"base_model.model.model.embed_tokens.lora_embedding_A", 2, 320},
           {"base_model.model.model.embed_tokens.lora_embedding_B", 64, 2}});
  EXPECT_ERROR(Open(), kUnimplemented, "lora_embedding_A", "output head");
}

// Digests of chunks by tensor.
class DigestSink final : public ChunkSink {
 public:
  explicit DigestSink(const ModelDescription& model) : model_(model) {}
  absl::Status Store(size_t, const PlannedChunk& chunk, const Digest& digest, ByteSpan,
                     int) override {
    const std::lock_guard lock(mutex_);
    if (chunk.piece >= 0)
      digests_[model_.tensors[model_.pieces[static_cast<size_t>(chunk.piece)].tensor].name].insert(
          digest.hex());
    return absl::OkStatus();
  }
  std::map<std::string, std::set<std::string>> digests() const { return digests_; }

 private:
  const ModelDescription& model_;
  std::mutex mutex_;
  std::map<std::string, std::set<std::string>> digests_;
};

TEST_F(LoraSourceTest, ChunksOfWhatTheAdapterDoesNotTouchStayThoseOfTheBase) {
  WeightsOfQ(0.5f, 0.25f);
  std::map<std::string, std::set<std::string>> chunks[2];
  std::string digests[2];
  const auto base = *OpenModel(RealFileSystem(), dir_ / "model");
  const auto merged = *Open();
  for (const auto& [i, source] : {std::pair(0, base.get()), {1, merged.get()}}) {
    const auto plan = MakePlan(*source, {{"gguf", "q4_0"}, {"gguf", "f16"}});
    ASSERT_OK(plan);
    DigestSink sink(source->description());
    const auto result = Execute(*source, *plan, sink, {});
    ASSERT_OK(result);
    chunks[i] = sink.digests();
    digests[i] = result->manifests[0].source().digest();
  }
  EXPECT_NE(digests[0], digests[1]);
  ASSERT_EQ(chunks[0].size(), chunks[1].size());
  for (const auto& [tensor, of_base] : chunks[0])
    EXPECT_EQ(of_base == chunks[1][tensor], tensor != "model.layers.0.self_attn.q_proj.weight")
        << tensor;
}

TEST_F(LoraSourceTest, WhatMergingNeedsCountsAgainstTheMemoryBudget) {
  WeightsOfQ(0.5f, 0.25f);
  const auto merged = *Open();
  const auto plan = MakePlan(*merged, {{"gguf", "q4_0"}});
  ASSERT_OK(plan);
  DigestSink sink(merged->description());
  const uint64_t enough = (uint64_t{1} << 20) + sink.scratch_bytes() + merged->scratch_bytes();
  EXPECT_OK(Execute(*merged, *plan, sink, {.threads = 1, .memory_bytes = enough}));
  EXPECT_ERROR(Execute(*merged, *plan, sink,
                       {.threads = 1, .memory_bytes = enough - merged->scratch_bytes()}),
               kInvalidArgument, HumanBytes(enough - merged->scratch_bytes()));
}

}  // namespace
}  // namespace quantfleet::pipeline
