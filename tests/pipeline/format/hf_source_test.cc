#include "pipeline/format/safetensors/hf_source.h"

#include <gtest/gtest.h>

#include <fstream>

#include "pipeline/format/registry/open_model.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tiny_model.h"

namespace quantfleet::pipeline {
namespace {

using testing::SafetensorsBytes;
using testing::TempDir;
using testing::TinyModelOptions;
using testing::WriteFile;
using testing::WriteTinyModel;

class HfSourceTest : public ::testing::Test {
 protected:
  void Write(std::string_view family, const TinyModelOptions& options = {}) {
    WriteTinyModel(dir_.path(), family, options);
  }
  absl::StatusOr<std::unique_ptr<ModelSource>> Open() {
    return OpenModel(RealFileSystem(), dir_.path());
  }
  std::string Text(const std::string& name) { return *RealFileSystem().ReadAll(dir_ / name); }
  void Replace(const std::string& name, std::string_view from, std::string_view to) {
    std::string text = Text(name);
    const size_t at = text.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    WriteFile(dir_ / name, text.replace(at, from.size(), to));
  }
  // One more tensor at the end of model.safetensors.
  void AddTensor(std::string_view name, std::string_view dtype, size_t bytes) {
    std::string file = Text("model.safetensors");
    const auto length = Load<uint64_t>(reinterpret_cast<const std::byte*>(file.data()));
    std::string header = file.substr(8, length), data = file.substr(8 + length);
    header.erase(header.find_last_of('}'));
    header += fmt::format(R"(,"{}":{{"dtype":"{}","shape":[{}],"data_offsets":[{},{}]}}}})", name,
                          dtype, bytes / 4, data.size(), data.size() + bytes);
    WriteFile(dir_ / "model.safetensors",
              SafetensorsBytes(header, data + std::string(bytes, '\0')));
  }
  TempDir dir_;
};

TEST_F(HfSourceTest, CutsFusedTensorsIntoPieces) {
  Write("phi3");
  const auto source = Open();
  ASSERT_OK(source);
  const ModelDescription& model = (*source)->description();
  const Piece &q = *model.Find(Role::kAttnQ, 1), &k = *model.Find(Role::kAttnK, 1),
              &v = *model.Find(Role::kAttnV, 1);
  EXPECT_EQ(q.tensor, v.tensor);
  EXPECT_EQ(model.tensors[q.tensor].name, "model.layers.1.self_attn.qkv_proj.weight");
  EXPECT_EQ(q.first_row, 0);
  EXPECT_EQ(q.rows, 64);
  EXPECT_EQ(k.first_row, 64);
  EXPECT_EQ(k.rows, 32);
  EXPECT_EQ(v.first_row, 96);
  EXPECT_EQ(model.Find(Role::kFfnGate, 0)->first_row, 0);
  EXPECT_EQ(model.Find(Role::kFfnUp, 0)->first_row, 96);
  EXPECT_EQ((*source)->format(), "safetensors");
  EXPECT_EQ(model.tokenizer.kind, text::TokenizerData::Kind::kSpm);
}

// As transformers: the list of generation_config.json counts, config.json's where there is none;
// eos always.
TEST_F(HfSourceTest, GenerationConfigSaysWhatEndsAndHowToSample) {
  Write("phi3");
  Replace("config.json", "\"eos_token_id\": 2", "\"eos_token_id\": [2, 9]");
  EXPECT_EQ((*Open())->description().tokenizer.more_ends, std::vector<int32_t>{9});
  WriteFile(dir_ / "generation_config.json", R"({"do_sample": true, "temperature": 0.7})");
  EXPECT_EQ((*Open())->description().tokenizer.more_ends, std::vector<int32_t>{9});
  EXPECT_EQ((*Open())->description().sampling,
            (SamplingDefaults{.samples = true, .temperature = 0.7f}));
  WriteFile(dir_ / "generation_config.json", R"({"eos_token_id": [30, 20]})");
  const auto source = Open();
  ASSERT_OK(source);
  EXPECT_EQ((*source)->description().tokenizer.eos, 2);
  EXPECT_EQ((*source)->description().tokenizer.more_ends, (std::vector<int32_t>{20, 30}));
  WriteFile(dir_ / "generation_config.json", R"({"eos_token_id": [2, 320]})");
  EXPECT_ERROR(Open(), kInvalidArgument, (dir_ / "generation_config.json").string(),
               "'eos_token_id'", "token 320");
  fs::remove(dir_ / "generation_config.json");
  Replace("config.json", "[2, 9]", "[2, 999]");
  EXPECT_ERROR(Open(), kInvalidArgument, "config.json", "'eos_token_id'", "token 999");
}

TEST_F(HfSourceTest, ShardsHoldTheSameBytesAsOneFile) {
  TempDir other;
  Write("qwen2", {.shards = 3});
  WriteTinyModel(other.path(), "qwen2");
  const auto sharded = Open();
  const auto whole = OpenModel(RealFileSystem(), other.path());
  ASSERT_OK(sharded);
  ASSERT_OK(whole);
  const ModelDescription &a = (*sharded)->description(), &b = (*whole)->description();
  ASSERT_EQ(a.pieces.size(), b.pieces.size());
  for (size_t i = 0; i < a.pieces.size(); ++i) {
    const size_t x = a.pieces[i].tensor, y = b.pieces[i].tensor;
    ASSERT_EQ(a.tensors[x].name, b.tensors[y].name);
    Bytes from_shard(
        static_cast<size_t>(a.tensors[x].rows * RowBytes(a.tensors[x].dtype, a.tensors[x].cols)));
    Bytes from_whole(from_shard.size());
    ASSERT_OK((*sharded)->Read(x, 0, from_shard));
    ASSERT_OK((*whole)->Read(y, 0, from_whole));
    EXPECT_EQ(from_shard, from_whole) << a.tensors[x].name;
  }
}

// What Phi-4-multimodal's checkpoints have beside the model that does text.
TEST_F(HfSourceTest, AdaptersAndEncodersAreLeftOutOfAModelThatDoesMoreThanText) {
  Write("phi3");
  const auto plain = Open();
  ASSERT_OK(plain);
  std::string file = Text("model.safetensors");
  const auto length = Load<uint64_t>(reinterpret_cast<const std::byte*>(file.data()));
  std::string header = file.substr(8, length);
  for (size_t at = 0; (at = header.find("_proj.weight", at)) != std::string::npos; at += 20)
    header.insert(at + 5, ".base_layer");
  WriteFile(dir_ / "model.safetensors", SafetensorsBytes(header, file.substr(8 + length)));
  AddTensor("model.layers.0.self_attn.qkv_proj.lora_A.vision.weight", "F32", 64);
  AddTensor("model.layers.0.self_attn.qkv_proj.lora_B.vision.weight", "F32", 64);
  AddTensor("model.embed_tokens_extend.audio_embed.encoder.weight", "F32", 64);
  EXPECT_ERROR(Open(), kInvalidArgument, "qkv_proj");
  Replace("config.json", "Phi3ForCausalLM", "Phi4MMForCausalLM");
  const auto source = Open();
  ASSERT_OK(source);
  const ModelDescription &want = (*plain)->description(), &model = (*source)->description();
  ASSERT_EQ(model.tensors.size(), want.tensors.size());
  for (size_t i = 0; i < model.tensors.size(); ++i)
    EXPECT_EQ(model.tensors[i].name, want.tensors[i].name);
  EXPECT_EQ(model.family, want.family);
  ASSERT_EQ(model.notes.size(), 1u);
  EXPECT_THAT(model.notes[0], testing::Names("(3 of", "--lora"));
}

TEST_F(HfSourceTest, LayersThatConfigAndTensorsDoNotAgreeOnNameBoth) {
  Write("llama");
  Replace("config.json", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1");
  EXPECT_ERROR(Open(), kInvalidArgument, "'model.layers.1.", "layers is 1");
  Replace("config.json", "\"num_hidden_layers\": 1", "\"num_hidden_layers\": 3");
  EXPECT_ERROR(Open(), kInvalidArgument, "'model.layers.2.", "layers is not 3");
}

TEST_F(HfSourceTest, ReadsRangesAndRefusesWhatLiesBeyond) {
  Write("llama");
  const auto source = Open();
  ASSERT_OK(source);
  Bytes whole(320 * 64 * 2), part(10);
  const size_t tensor = (*source)->description().Find(Role::kTokenEmbedding)->tensor;
  ASSERT_OK((*source)->Read(tensor, 0, whole));
  ASSERT_OK((*source)->Read(tensor, 1000, part));
  EXPECT_TRUE(std::ranges::equal(part, ByteSpan(whole).subspan(1000, 10)));
  EXPECT_ERROR((*source)->Read(tensor, whole.size() - 9, part), kOutOfRange, "beyond the end");
  EXPECT_ERROR((*source)->Read(999, 0, part), kOutOfRange, "999");
  (*source)->Release(tensor, 0, whole.size());
  ASSERT_OK((*source)->Read(tensor, 1000, part));
}

TEST_F(HfSourceTest, FingerprintFollowsContent) {
  Write("llama");
  const std::string before = (*Open())->fingerprint().text;
  EXPECT_EQ((*Open())->fingerprint().text, before);
  Replace("config.json", "\"max_position_embeddings\": 256", "\"max_position_embeddings\": 512");
  EXPECT_NE((*Open())->fingerprint().text, before);
}

TEST_F(HfSourceTest, FingerprintFollowsModificationTime) {
  Write("llama");
  const std::string before = (*Open())->fingerprint().text;
  const fs::path weights = dir_ / "model.safetensors";
  fs::last_write_time(weights, fs::last_write_time(weights) + std::chrono::seconds(5));
  EXPECT_NE((*Open())->fingerprint().text, before);
}

TEST_F(HfSourceTest, WithoutTokenizerTheVocabularyIsEmpty) {
  Write("phi3");
  fs::remove(dir_ / "tokenizer.model");
  fs::remove(dir_ / "tokenizer_config.json");
  const auto source = Open();
  ASSERT_OK(source);
  EXPECT_EQ((*source)->description().tokenizer.kind, text::TokenizerData::Kind::kNone);
}

TEST_F(HfSourceTest, ADescribedTokenizerThatIsNotThereIsRefused) {
  Write("phi3");
  fs::remove(dir_ / "tokenizer.model");
  const auto source = Open();
  EXPECT_EQ(source.status().code(), absl::StatusCode::kNotFound);
  EXPECT_NE(source.status().message().find("tokenizer.model"), std::string::npos)
      << source.status();
}

TEST_F(HfSourceTest, IgnoresWhatEveryRuntimeComputes) {
  Write("llama");
  AddTensor("model.layers.0.self_attn.rotary_emb.inv_freq", "F32", 32);
  EXPECT_OK(Open());
}

// Under either kind of names, and only for a class that says so.
TEST_F(HfSourceTest, OtherPartsThanTextAreLeftOutAndSaid) {
  for (const std::string_view prefix : {"language_model.model.", "model.language_model."}) {
    Write("gemma3");
    const std::string plain = (*Open())->fingerprint().text;
    std::string file = Text("model.safetensors");
    const auto length = Load<uint64_t>(reinterpret_cast<const std::byte*>(file.data()));
    std::string header = file.substr(8, length);
    for (size_t at = 0; (at = header.find("\"model.", at)) != std::string::npos;
         at += prefix.size())
      header.replace(at + 1, 6, prefix);
    WriteFile(dir_ / "model.safetensors", SafetensorsBytes(header, file.substr(8 + length)));
    AddTensor("vision_tower.vision_model.post_layernorm.weight", "F32", 8);
    EXPECT_ERROR(Open(), kInvalidArgument, "is missing");
    Replace("config.json", R"("architectures": ["Gemma3ForCausalLM"])",
            R"("architectures": ["Gemma3ForConditionalGeneration"], "text_config": {})");
    const auto source = Open();
    ASSERT_OK(source);
    const ModelDescription& model = (*source)->description();
    EXPECT_EQ(model.tensors[model.Find(Role::kTokenEmbedding)->tensor].name,
              "model.embed_tokens.weight");
    ASSERT_EQ(model.notes.size(), 1u);
    EXPECT_NE(model.notes[0].find("(1 of its tensors)"), std::string::npos) << model.notes[0];
  }
}

TEST_F(HfSourceTest, RefusesUnknownTensors) {
  Write("llama");
  AddTensor("model.layers.0.mlp.experts.weight", "F32", 32);
  EXPECT_ERROR(Open(), kInvalidArgument, "'model.layers.0.mlp.experts.weight'", "llama");
}

TEST_F(HfSourceTest, RefusesTensorsOfIntegersThatArePartsOfNothing) {
  Write("llama");
  AddTensor("model.layers.0.mlp.up_proj.other", "I32", 32);
  EXPECT_ERROR(Open(), kUnimplemented, "'model.layers.0.mlp.up_proj.other'", "I32");
}

TEST_F(HfSourceTest, NamesAMissingTensor) {
  Write("llama");
  Replace("config.json", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3");
  EXPECT_ERROR(Open(), kInvalidArgument, "'model.layers.2.input_layernorm.weight'");
}

TEST_F(HfSourceTest, NamesATensorOfTheWrongShape) {
  Write("llama");
  Replace("config.json", "\"intermediate_size\": 96", "\"intermediate_size\": 80");
  EXPECT_ERROR(Open(), kInvalidArgument, "model.layers.0.mlp");
}

TEST_F(HfSourceTest, NamesAFusedTensorOfTheWrongShape) {
  Write("phi3");
  Replace("config.json", "\"num_key_value_heads\": 2", "\"num_key_value_heads\": 1");
  EXPECT_ERROR(Open(), kInvalidArgument, "model.layers.0.self_attn.qkv_proj.weight");
  // As many rows as one of its parts has: the message says where that part begins.
  Write("phi3");
  Replace("config.json", "\"intermediate_size\": 96", "\"intermediate_size\": 192");
  EXPECT_ERROR(Open(), kInvalidArgument, "model.layers.0.mlp.gate_up_proj.weight", "[192, 64]",
               "row 192");
}

TEST_F(HfSourceTest, NamesAMissingShard) {
  Write("phi3", {.shards = 2});
  fs::remove(dir_ / "model-00002-of-00002.safetensors");
  EXPECT_ERROR(Open(), kNotFound, "model-00002-of-00002.safetensors");
}

TEST_F(HfSourceTest, NamesAMissingIndex) {
  Write("phi3", {.shards = 2});
  fs::remove(dir_ / "model.safetensors.index.json");
  EXPECT_ERROR(Open(), kNotFound, "model.safetensors.index.json", "model-00001");
}

TEST_F(HfSourceTest, NamesAContradictionOfIndexAndShard) {
  Write("phi3", {.shards = 2});
  Replace("model.safetensors.index.json", "model.embed_tokens.weight\": \"model-00001-of-00002",
          "model.embed_tokens.weight\": \"model-00002-of-00002");
  EXPECT_ERROR(Open(), kInvalidArgument, "'model.embed_tokens.weight'", "index");
  Write("phi3", {.shards = 2});
  Replace("model.safetensors.index.json", "{\"model.embed_tokens.weight\"",
          "{\"model.other.weight\": \"model-00001-of-00002.safetensors\", "
          "\"model.embed_tokens.weight\"");
  EXPECT_ERROR(Open(), kInvalidArgument, "'model.other.weight'", "index");
}

// transformers drops the head without a look, and what was trained with another one talks rubbish.
TEST_F(HfSourceTest, AHeadThatDiffersFromATiedEmbeddingIsKept) {
  Write("llama", {.shards = 2});
  Replace("config.json", "\"tie_word_embeddings\": false", "\"tie_word_embeddings\": true");
  const auto source = Open();
  ASSERT_OK(source);
  const ModelDescription& model = (*source)->description();
  EXPECT_FALSE(model.hyper.tied_embeddings);
  const Piece* head = model.Find(Role::kOutputHead);
  ASSERT_NE(head, nullptr);
  EXPECT_EQ(model.tensors[head->tensor].name, "lm_head.weight");
  ASSERT_EQ(WarningsOf(model).size(), 1u);
  EXPECT_EQ(WarningsOf(model)[0],
            "config.json says tie_word_embeddings, but lm_head.weight differs from "
            "model.embed_tokens.weight: both are kept");

  TempDir other;
  WriteTinyModel(other.path(), "llama");
  const auto untied = OpenModel(RealFileSystem(), other.path());
  ASSERT_OK(untied);
  const ModelDescription& expected = (*untied)->description();
  const size_t tensor = expected.Find(Role::kOutputHead)->tensor;
  Bytes a(
      static_cast<size_t>(expected.tensors[tensor].rows *
                          RowBytes(expected.tensors[tensor].dtype, expected.tensors[tensor].cols))),
      b(a.size());
  ASSERT_OK((*untied)->Read(tensor, 0, a));
  ASSERT_OK((*source)->Read(head->tensor, 0, b));
  EXPECT_EQ(a, b);
}

TEST_F(HfSourceTest, AHeadThatRepeatsATiedEmbeddingIsLeftOut) {
  Write("llama", {.tied = true});
  std::string file = Text("model.safetensors");
  const auto length = Load<uint64_t>(reinterpret_cast<const std::byte*>(file.data()));
  std::string header = file.substr(8, length);
  const std::string data = file.substr(8 + length);
  const auto source = Open();
  ASSERT_OK(source);
  const ModelDescription& before = (*source)->description();
  const size_t tensor = before.Find(Role::kTokenEmbedding)->tensor;
  const SourceTensor& embedding = before.tensors[tensor];
  std::string bytes(static_cast<size_t>(embedding.rows * RowBytes(embedding.dtype, embedding.cols)),
                    '\0');
  ASSERT_OK((*source)->Read(tensor, 0, std::as_writable_bytes(std::span(bytes))));
  header.erase(header.find_last_of('}'));
  header += fmt::format(
      R"(,"lm_head.weight":{{"dtype":"BF16","shape":[{},{}],"data_offsets":[{},{}]}}}})",
      embedding.rows, embedding.cols, data.size(), data.size() + bytes.size());
  for (const bool same : {true, false}) {
    if (!same) bytes.back() = static_cast<char>(bytes.back() ^ 1);
    WriteFile(dir_ / "model.safetensors", SafetensorsBytes(header, data + bytes));
    const auto opened = Open();
    ASSERT_OK(opened);
    const ModelDescription& model = (*opened)->description();
    EXPECT_EQ(model.hyper.tied_embeddings, same);
    EXPECT_EQ(model.Find(Role::kOutputHead) == nullptr, same);
    EXPECT_EQ(model.notes.size(), same ? 0u : 1u);
  }
}

TEST_F(HfSourceTest, AMissingTokenizerIsWorthAWarning) {
  Write("phi3");
  EXPECT_TRUE(WarningsOf((*Open())->description()).empty());
  fs::remove(dir_ / "tokenizer.model");
  fs::remove(dir_ / "tokenizer_config.json");
  const auto source = Open();
  ASSERT_OK(source);
  ASSERT_EQ(WarningsOf((*source)->description()).size(), 1u);
  EXPECT_NE(WarningsOf((*source)->description())[0].find("no tokenizer"), std::string::npos);
}

TEST_F(HfSourceTest, AnIndexCannotReachOutOfTheFolder) {
  Write("phi3", {.shards = 2});
  Replace("model.safetensors.index.json", "\"model-00001-of-00002.safetensors\"",
          "\"../secret.safetensors\"");
  EXPECT_ERROR(Open(), kInvalidArgument, ".safetensors");
}

TEST_F(HfSourceTest, RefusesPickledWeightsWithTheRemedy) {
  Write("phi3");
  for (const char* name :
       {"pytorch_model.bin", "pytorch_model-00001-of-00002.bin", "consolidated.00.pth"}) {
    fs::remove(dir_ / "model.safetensors");
    WriteFile(dir_ / name, "PK");
    EXPECT_ERROR(Open(), kInvalidArgument, fmt::format("({})", name));
    EXPECT_ERROR(Open(), kInvalidArgument, "safe_serialization=True");
    EXPECT_ERROR(OpenModel(RealFileSystem(), dir_ / name), kInvalidArgument,
                 "safe_serialization=True");
    fs::remove(dir_ / name);
  }
  // An optimizer's state beside shards whose index is missing is not what is wrong.
  WriteFile(dir_ / "a.pt", "PK");
  WriteFile(dir_ / "model-00001-of-00002.safetensors", "");
  EXPECT_ERROR(Open(), kNotFound, "model.safetensors.index.json");
}

// The index can name one place only, so one of the two shards contradicts it.
TEST_F(HfSourceTest, RefusesATensorThatTwoShardsHold) {
  Write("llama", {.shards = 2});
  fs::copy_file(dir_ / "model-00001-of-00002.safetensors",
                dir_ / "model-00002-of-00002.safetensors", fs::copy_options::overwrite_existing);
  EXPECT_ERROR(Open(), kInvalidArgument, "model-00002-of-00002.safetensors",
               "'model.embed_tokens.weight'", "model-00001-of-00002.safetensors");
}

TEST_F(HfSourceTest, NamesATruncatedFile) {
  Write("phi3");
  fs::resize_file(dir_ / "model.safetensors", fs::file_size(dir_ / "model.safetensors") / 2);
  EXPECT_ERROR(Open(), kDataLoss, "model.safetensors", "'model.");
}

TEST_F(HfSourceTest, RefusesOtherArchitectures) {
  Write("phi3");
  Replace("config.json", "Phi3ForCausalLM", "MambaForCausalLM");
  EXPECT_ERROR(Open(), kUnimplemented, "'MambaForCausalLM'", "Phi3ForCausalLM");
  // With the nearest, and all of them.
  Replace("config.json", "MambaForCausalLM", "Phi4ForCausalLM");
  EXPECT_ERROR(Open(), kUnimplemented, "'Phi4ForCausalLM'", "Phi3ForCausalLM", "LlamaForCausalLM",
               "Qwen3MoeForCausalLM", "BertModel");
}

TEST_F(HfSourceTest, ATooLargeLicenceIsNamed) {
  Write("phi3");
  WriteFile(dir_ / "LICENSE", std::string((1 << 20) + 1, 'x'));
  EXPECT_ERROR(Open(), kResourceExhausted, "LICENSE");
}

TEST_F(HfSourceTest, AFolderCalledLicensesIsNoAttachment) {
  Write("phi3");
  fs::create_directory(dir_ / "LICENSES");
  const auto source = Open();
  ASSERT_OK(source);
  EXPECT_EQ((*source)->attachments().size(), 1u);
}

TEST_F(HfSourceTest, ATokenizerThatDoesNotFitIsNamed) {
  Write("phi3");
  WriteFile(dir_ / "tokenizer.model", testing::SpmModelBytes(testing::TinySpmPieces(400)));
  EXPECT_ERROR(Open(), kInvalidArgument, "400 tokens", "vocab_size", "320");
}

TEST(OpenModel, SaysWhatItWouldRead) {
  TempDir dir;
  EXPECT_ERROR(OpenModel(RealFileSystem(), dir / "absent"), kNotFound, "absent");
  EXPECT_ERROR(OpenModel(RealFileSystem(), dir.path()), kNotFound, "config.json");
  WriteFile(dir / "notes.txt", "hello");
  EXPECT_ERROR(OpenModel(RealFileSystem(), dir / "notes.txt"), kInvalidArgument,
               "notes.txt is not");
  WriteFile(dir / "model.safetensors", SafetensorsBytes("{}", ""));
  EXPECT_ERROR(OpenModel(RealFileSystem(), dir / "model.safetensors"), kInvalidArgument, "folder");
  WriteFile(dir / "m.gguf", "GGUF");
  EXPECT_ERROR(OpenModel(RealFileSystem(), dir / "m.gguf"), kDataLoss, "m.gguf");
}

}  // namespace
}  // namespace quantfleet::pipeline
