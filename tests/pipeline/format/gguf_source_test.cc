// GGUF files as sources: defaults of absent keys, separate and fused tensors, and what is refused.
#include "pipeline/format/gguf/read/gguf_source.h"

#include <gtest/gtest.h>

#include "common/base/bytes.h"
#include "pipeline/family/family.h"
#include "pipeline/format/gguf/read/gguf_hyper.h"
#include "pipeline/format/gguf/write/gguf_writer.h"
#include "tests/support/memory_file.h"
#include "tests/support/split_gguf.h"
#include "tests/support/status_matchers.h"

namespace quantfleet::pipeline {
namespace {

using testing::MemoryFileSystem;

// The smallest model: hidden 8, 2 heads of 4, 1 layer, 5 tokens.
struct Builder {
  explicit Builder(std::string architecture = "llama") : arch(std::move(architecture)) {
    w.AddText("general.architecture", arch);
    for (const auto& [key, value] : {std::pair("context_length", 16),
                                     {"embedding_length", 8},
                                     {"block_count", 1},
                                     {"feed_forward_length", 12},
                                     {"attention.head_count", 2}})
      w.AddU32(arch + "." + key, static_cast<uint32_t>(value));
    w.AddF32(arch + ".attention.layer_norm_rms_epsilon", 1e-5f);
  }
  Builder& Weights(bool fused, bool head = true) {
    const auto add = [&](std::string_view name, int64_t rows, int64_t cols) {
      w.AddTensor(name, DType::kF32, rows, cols, rows == 1 ? 1 : 2);
    };
    add("token_embd.weight", 5, 8);
    add("blk.0.attn_norm.weight", 1, 8);
    if (fused) {
      add("blk.0.attn_qkv.weight", 24, 8);
      add("blk.0.ffn_up.weight", 24, 8);
    } else {
      for (const char* name : {"q", "k", "v"}) add(fmt::format("blk.0.attn_{}.weight", name), 8, 8);
      add("blk.0.ffn_gate.weight", 12, 8);
      add("blk.0.ffn_up.weight", 12, 8);
    }
    add("blk.0.attn_output.weight", 8, 8);
    add("blk.0.ffn_norm.weight", 1, 8);
    add("blk.0.ffn_down.weight", 8, 12);
    add("output_norm.weight", 1, 8);
    if (head) add("output.weight", 5, 8);
    return *this;
  }
  absl::StatusOr<std::unique_ptr<GgufSource>> Open() const {
    MemoryFileSystem files;
    std::string bytes = w.Header();
    bytes.resize(bytes.size() + w.data_size());
    files.Put("m.gguf", std::move(bytes));
    return GgufSource::Open(files, "m.gguf");
  }
  std::string arch;
  GgufWriter w;
};

TEST(GgufSource, DefaultsAreThoseOfGguf) {
  const auto source = Builder().Weights(false).Open();
  ASSERT_OK(source);
  const ModelDescription& model = (*source)->description();
  EXPECT_EQ(model.name, "m");
  EXPECT_EQ(model.hyper.kv_heads, 2);
  EXPECT_EQ(model.hyper.head_dim, 4);
  EXPECT_EQ(model.hyper.rope_dims, 4);
  EXPECT_EQ(model.hyper.rope_theta, 10000.0f);
  EXPECT_EQ(model.hyper.original_context, 16);
  EXPECT_EQ(model.hyper.vocab, 5);
  EXPECT_FALSE(model.hyper.tied_embeddings);
  EXPECT_EQ(model.tokenizer.kind, text::TokenizerData::Kind::kNone);
  EXPECT_EQ(model.Find(Role::kAttnQ, 0)->order, RowOrder::kInterleaved);
  EXPECT_EQ(model.Find(Role::kAttnV, 0)->order, RowOrder::kHf);
}

absl::StatusOr<Hyperparameters> HyperOf(std::string header, std::string_view family) {
  header.resize(header.size() + 4096);
  const testing::MemoryFile file(std::move(header));
  QF_ASSIGN_OR_RETURN(const GgufFile gguf, GgufFile::Read(file, "m.gguf"));
  return ReadHyperparameters(gguf, *FindFamily(family));
}

// What llama.cpp means where a file of Gemma does not say.
TEST(GgufSource, LayersWithAWindow) {
  const auto of = [](std::string_view family, auto more) {
    Builder b{std::string(family)};
    b.w.AddTensor("token_embd.weight", DType::kF32, 5, 8, 2);
    more(b.w);
    return HyperOf(b.w.Header(), family);
  };
  const auto none = of("gemma3", [](GgufWriter&) {});
  ASSERT_OK(none);
  EXPECT_EQ(none->full_every, 0);
  EXPECT_EQ(none->sliding_rope_theta, 0);
  const auto window = [](GgufWriter& w) { w.AddU32("gemma3.attention.sliding_window", 512); };
  const auto plain = of("gemma3", window);
  ASSERT_OK(plain);
  EXPECT_EQ(plain->sliding_window, 512);
  EXPECT_EQ(plain->full_every, 6);
  EXPECT_EQ(plain->sliding_rope_theta, 10000.f);
  const auto own = of("gemma3", [&](GgufWriter& w) {
    window(w);
    w.AddU32("gemma3.attention.sliding_window_pattern", 4);
    w.AddF32("gemma3.rope.freq_base_swa", 20000);
  });
  ASSERT_OK(own);
  EXPECT_EQ(own->full_every, 4);
  EXPECT_EQ(own->sliding_rope_theta, 20000.f);
  EXPECT_ERROR(of("gemma3",
                  [&](GgufWriter& w) {
                    window(w);
                    w.AddU32("gemma3.attention.sliding_window_pattern", 0);
                  }),
               kInvalidArgument, "sliding_window_pattern", "at least 1");
  const auto gemma2 = of("gemma2", [](GgufWriter&) {});
  ASSERT_OK(gemma2);
  EXPECT_EQ(gemma2->sliding_window, 4096);
  EXPECT_EQ(gemma2->full_every, 2);
  EXPECT_EQ(gemma2->sliding_rope_theta, 0);
  EXPECT_EQ(gemma2->score_cap, 50.f);
  EXPECT_EQ(gemma2->logit_cap, 30.f);
}

// As a list of bools, one per layer, which have to follow a rule.
TEST(GgufSource, LayersWithAWindowByAList) {
  const auto of = [](const std::string& slides) {
    Builder b("gemma3");
    b.w.AddU32("gemma3.attention.sliding_window", 512);
    const std::string key = "gemma3.attention.sliding_window_pattern";
    b.w.AddText(key, std::string(slides.size() + 4, 'x'));
    b.w.AddTensor("token_embd.weight", DType::kF32, 5, 8, 2);
    std::string header = b.w.Header();
    // The text's place taken by an array: its type, that of its elements, their number.
    auto* at = reinterpret_cast<std::byte*>(header.data()) + header.find(key) + key.size();
    Store(at, uint32_t{9});
    Store(at + 4, uint32_t{7});
    Store(at + 8, uint64_t{slides.size()});
    std::ranges::copy(AsBytes(slides), at + 16);
    return HyperOf(std::move(header), "gemma3");
  };
  const auto sliding = of(std::string(1, '\1'));
  ASSERT_OK(sliding);
  EXPECT_EQ(sliding->full_every, 6);
  const auto full = of(std::string(1, '\0'));
  ASSERT_OK(full);
  EXPECT_EQ(full->full_every, 0);
  EXPECT_ERROR(of(std::string(2, '\1')), kInvalidArgument, "a list of 1");
}

TEST(GgufSource, VectorsAreFloats) {
  Builder b;
  b.w.AddTensor("output_norm.bias", DType::kQ8_0, 1, 32, 1);
  EXPECT_ERROR(b.Weights(false).Open(), kInvalidArgument, "m.gguf", "output_norm.bias", "q8_0");
}

// Each way in which files of a split model contradict one another.
TEST(GgufSource, FilesOfASplitModelMustAgree) {
  const Builder whole = Builder().Weights(false);
  std::string bytes = whole.w.Header();
  bytes.resize(bytes.size() + whole.w.data_size());
  const std::vector<std::string> shards = testing::SplitGguf(bytes, 2);
  const auto open = [](std::string_view path,
                       std::vector<std::pair<std::string, std::string>> all) {
    MemoryFileSystem files;
    for (auto& [name, content] : all) files.Put(name, std::move(content));
    return GgufSource::Open(files, path);
  };
  const std::string one = "m-00001-of-00002.gguf", two = "m-00002-of-00002.gguf";
  EXPECT_OK(open(one, {{one, shards[0]}, {two, shards[1]}}));
  EXPECT_OK(open(two, {{one, shards[0]}, {two, shards[1]}}));
  EXPECT_ERROR(open(one, {{one, shards[0]}}), kNotFound, two);
  EXPECT_ERROR(open(one, {{one, shards[1]}, {two, shards[0]}}), kInvalidArgument, one, "split.no");
  EXPECT_ERROR(open(one, {{one, shards[0]}, {two, shards[0]}}), kInvalidArgument, two, "split.no");
  EXPECT_ERROR(open(one, {{one, bytes}, {two, bytes}}), kInvalidArgument, one, "split.no");
  EXPECT_ERROR(open("m.gguf", {{"m.gguf", shards[0]}}), kInvalidArgument, "m.gguf", "2 files");
  const std::string three = "m-00001-of-99999.gguf";
  EXPECT_ERROR(open(three, {{three, shards[0]}}), kInvalidArgument, "99999");
  std::string fewer = shards[1];  // its last key's value: how many tensors there are in all
  const size_t at = fewer.find("split.tensors.count") + 19 + 4;
  fewer[at] = static_cast<char>(fewer[at] - 1);
  EXPECT_OK(open(one, {{one, shards[0]}, {two, fewer}})) << "the first file's count is what counts";
  std::string more = shards[0];
  more[more.find("split.tensors.count") + 19 + 4] += 1;
  EXPECT_ERROR(open(one, {{one, more}, {two, shards[1]}}), kInvalidArgument, "split.tensors.count");
}

TEST(GgufSource, ReadsFusedPhi3) {
  const auto source = Builder("phi3").Weights(true, false).Open();
  ASSERT_OK(source);
  const ModelDescription& model = (*source)->description();
  EXPECT_TRUE(model.hyper.tied_embeddings);
  EXPECT_EQ(model.Find(Role::kAttnV, 0)->first_row, 16);
  EXPECT_EQ(model.Find(Role::kFfnUp, 0)->first_row, 12);
  EXPECT_EQ(model.Find(Role::kAttnQ, 0)->order, RowOrder::kHf);
}

TEST(GgufSource, FrequencyFactorsBelongToTheRope) {
  Builder b;
  b.w.AddTensor("rope_freqs.weight", DType::kF32, 1, 2, 1);
  // The data are zeros, and a factor of zero is refused: proof that the tensor was read as factors.
  EXPECT_ERROR(b.Weights(false).Open(), kInvalidArgument, "rope_freqs is 0");
  Builder half;
  half.w.AddTensor("rope_factors_long.weight", DType::kF32, 1, 2, 1);
  EXPECT_ERROR(half.Weights(false).Open(), kUnimplemented, "LongRoPE");
}

TEST(GgufSource, RopeFactorsHaveTheRightLength) {
  for (const char* name :
       {"rope_factors_long.weight", "rope_factors_short.weight", "rope_freqs.weight"}) {
    Builder b("phi3");
    b.w.AddTensor(name, DType::kF32, 1, 3, 1);
    EXPECT_ERROR(b.Weights(true).Open(), kInvalidArgument, "m.gguf", fmt::format("'{}'", name),
                 "3 values");
  }
}

TEST(GgufSource, RefusesOtherArchitectures) {
  EXPECT_ERROR(Builder("mamba").Weights(false).Open(), kUnimplemented, "m.gguf", "'mamba'",
               FamilyNames());
}

TEST(GgufSource, NamesAMissingKey) {
  Builder b;
  b.w = GgufWriter();
  b.w.AddText("general.architecture", "llama");
  EXPECT_ERROR(b.Weights(false).Open(), kInvalidArgument, "'llama.context_length'");
}

TEST(GgufSource, NamesAKeyOfTheWrongType) {
  Builder b;
  b.w.AddText("llama.rope.freq_base", "ten thousand");
  EXPECT_ERROR(b.Weights(false).Open(), kInvalidArgument, "'llama.rope.freq_base'", "float");
}

TEST(GgufSource, RefusesHeadCountsThatMakeNoSense) {
  Builder b;
  b.w.AddU32("llama.attention.head_count_kv", 0);
  EXPECT_ERROR(b.Weights(false).Open(), kInvalidArgument, "num_key_value_heads is 0");
  Builder many;
  many.w.AddU32("llama.attention.head_count_kv", 4'000'000'000u);
  EXPECT_ERROR(many.Weights(false).Open(), kInvalidArgument, "num_key_value_heads", "4000000000");
}

TEST(GgufSource, RefusesUnknownScaling) {
  Builder b;
  b.w.AddText("llama.rope.scaling.type", "yarn");
  EXPECT_ERROR(b.Weights(false).Open(), kUnimplemented, "'yarn'");
}

TEST(GgufSource, RefusesTensorsOfOtherModels) {
  Builder b;
  b.w.AddTensor("blk.0.ffn_gate_inp.weight", DType::kF32, 4, 8, 2);
  EXPECT_ERROR(b.Weights(false).Open(), kInvalidArgument, "'blk.0.ffn_gate_inp.weight'", "llama");
}

TEST(GgufSource, NamesAMissingTensor) {
  EXPECT_ERROR(Builder("qwen2").Weights(false).Open(), kInvalidArgument, "biases");
  Builder b;
  b.w.AddTensor("token_embd.weight", DType::kF32, 5, 8, 2);
  EXPECT_ERROR(b.Open(), kInvalidArgument, "'blk.0.attn_norm.weight'");
}

TEST(GgufSource, RefusesAVocabularyAlone) {
  EXPECT_ERROR(Builder().Open(), kInvalidArgument, "'token_embd.weight'");
}

TEST(GgufSource, RefusesATokenizerThatDoesNotFit) {
  Builder b;
  b.w.AddText("tokenizer.ggml.model", "llama");
  const std::vector<std::string> tokens{"<unk>", "<s>", "</s>"};
  b.w.AddTexts("tokenizer.ggml.tokens", tokens);
  EXPECT_ERROR(b.Weights(false).Open(), kInvalidArgument, "3 tokens", "vocab_size is 5");
}

TEST(GgufSource, ReadsTheBytesOfTensors) {
  Builder b;
  b.Weights(false);
  std::string bytes = b.w.Header();
  const size_t data_at = bytes.size();
  for (size_t i = 0; i < b.w.data_size(); ++i) bytes += static_cast<char>(i % 251);
  MemoryFileSystem files;
  files.Put("m.gguf", bytes);
  const auto source = GgufSource::Open(files, "m.gguf");
  ASSERT_OK(source);
  const size_t tensor = (*source)->description().Find(Role::kFfnDown, 0)->tensor;
  EXPECT_GE((*source)->FileOffset(tensor), data_at);
  Bytes out(8 * 12 * 4);
  ASSERT_OK((*source)->Read(tensor, 0, out));
  EXPECT_EQ(AsText(out), std::string_view(bytes).substr((*source)->FileOffset(tensor), out.size()));
  EXPECT_ERROR((*source)->Read(tensor, 1, out), kOutOfRange, "beyond the end");
}

}  // namespace
}  // namespace quantfleet::pipeline
