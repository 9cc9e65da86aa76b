#include "pipeline/format/gguf/write/gguf_target.h"

#include <gtest/gtest.h>

#include <cmath>

#include "pipeline/family/family.h"
#include "pipeline/format/gguf/read/gguf_source.h"
#include "pipeline/format/registry/open_model.h"
#include "pipeline/model/rope.h"
#include "pipeline/model/running_memory.h"
#include "tests/support/memory_file.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_name.h"
#include "tests/support/tiny_model.h"

namespace quantfleet::pipeline {
namespace {

using testing::MemoryFileSystem;
using testing::TempDir;
using testing::TestName;
using testing::TinyModelOptions;
using testing::WriteTinyModel;

const OutputFile& ModelFile(const TargetLayout& layout) {
  return *std::ranges::find(layout.files, "model.gguf", &OutputFile::path);
}

// The planned file with its fixed bytes in place and zeros where weights will go.
std::string Materialize(const OutputFile& file) {
  std::string bytes(file.size, '\0');
  for (const FixedBytes& fixed : file.fixed)
    bytes.replace(fixed.offset, fixed.bytes.size(), fixed.bytes);
  return bytes;
}

struct Planned {
  std::unique_ptr<ModelSource> source;
  TargetLayout layout;
  std::unique_ptr<GgufSource> reread;  // what our own reader makes of it
};

Planned PlanTiny(std::string_view family, const TinyModelOptions& options, std::string_view recipe,
                 std::string_view chat_template_json = "") {
  TempDir dir;
  WriteTinyModel(dir.path(), family, options);
  if (!chat_template_json.empty()) {
    EXPECT_OK(RealFileSystem().WriteAtomically(dir.path() / "chat_template.json",
                                               AsBytes(chat_template_json)));
  }
  Planned out;
  auto source = OpenModel(RealFileSystem(), dir.path());
  EXPECT_OK(source);
  if (!source.ok()) return out;
  out.source = *std::move(source);
  auto layout = PlanGguf(out.source->description(), out.source->attachments(), *FindRecipe(recipe));
  EXPECT_OK(layout);
  if (!layout.ok()) return out;
  out.layout = *std::move(layout);
  MemoryFileSystem files;
  files.Put("m.gguf", Materialize(ModelFile(out.layout)));
  auto reread = GgufSource::Open(files, "m.gguf");
  EXPECT_OK(reread);
  if (reread.ok()) out.reread = *std::move(reread);
  return out;
}

struct Case {
  std::string_view family;
  const char* recipe;
};

class EveryTarget : public ::testing::TestWithParam<Case> {};

TEST_P(EveryTarget, OurOwnReaderFindsTheSameModel) {
  const Planned p = PlanTiny(GetParam().family, {}, GetParam().recipe);
  ASSERT_NE(p.reread, nullptr);
  const ModelDescription &in = p.source->description(), &out = p.reread->description();
  EXPECT_EQ(out.family, in.family);
  EXPECT_EQ(out.hyper.hidden, in.hyper.hidden);
  EXPECT_EQ(out.hyper.intermediate, in.hyper.intermediate);
  EXPECT_EQ(out.hyper.layers, in.hyper.layers);
  EXPECT_EQ(out.hyper.heads, in.hyper.heads);
  EXPECT_EQ(out.hyper.kv_heads, in.hyper.kv_heads);
  EXPECT_EQ(out.hyper.head_dim, in.hyper.head_dim);
  EXPECT_EQ(out.hyper.rope_dims, in.hyper.rope_dims);
  EXPECT_EQ(out.hyper.vocab, in.hyper.vocab);
  EXPECT_EQ(out.hyper.context, in.hyper.context);
  EXPECT_EQ(out.hyper.original_context, in.hyper.original_context);
  EXPECT_EQ(out.hyper.norm_epsilon, in.hyper.norm_epsilon);
  EXPECT_EQ(out.hyper.rope_theta, in.hyper.rope_theta);
  EXPECT_EQ(out.hyper.tied_embeddings, in.hyper.tied_embeddings);
  EXPECT_EQ(out.Parameters(), in.Parameters());
  ASSERT_EQ(out.pieces.size(), in.pieces.size());
  ASSERT_EQ(out.tokenizer.tokens.size(), in.tokenizer.tokens.size());
  for (size_t i = 0; i < in.tokenizer.tokens.size(); ++i) {
    EXPECT_EQ(out.tokenizer.tokens[i].text, in.tokenizer.tokens[i].text);
    EXPECT_EQ(out.tokenizer.tokens[i].score, in.tokenizer.tokens[i].score);
    EXPECT_EQ(out.tokenizer.tokens[i].type, in.tokenizer.tokens[i].type);
  }
  EXPECT_EQ(out.tokenizer.bos, in.tokenizer.bos);
  EXPECT_EQ(out.tokenizer.eos, in.tokenizer.eos);
  EXPECT_EQ(out.tokenizer.chat_template, "{{ messages }}");
}

TEST(GgufTarget, TemplatesOfAllNamesAreKept) {
  const Planned p = PlanTiny("llama", {}, "f16",
                             R"({"chat_template": [{"name": "default", "template": "a"},
                                 {"name": "tool_use", "template": "b"},
                                 {"name": "rag", "template": "c"}]})");
  ASSERT_NE(p.reread, nullptr);
  const text::TokenizerData& out = p.reread->description().tokenizer;
  EXPECT_EQ(out.chat_template, "a");
  EXPECT_THAT(out.named_templates, ::testing::UnorderedElementsAre(::testing::Pair("tool_use", "b"),
                                                                   ::testing::Pair("rag", "c")));
}

// Where the plan puts a piece is where the reader, from the header alone, finds it.
TEST_P(EveryTarget, PiecesStandWhereTheHeaderSays) {
  const Planned p = PlanTiny(GetParam().family, {}, GetParam().recipe);
  ASSERT_NE(p.reread, nullptr);
  const ModelDescription& out = p.reread->description();
  ASSERT_EQ(p.layout.pieces.size(), out.pieces.size());
  uint64_t end =
      ModelFile(p.layout).fixed.back().offset + ModelFile(p.layout).fixed.back().bytes.size();
  for (const PlacedPiece& placed : p.layout.pieces) {
    const Piece& piece = out.pieces[placed.piece];
    const SourceTensor& tensor = out.tensors[piece.tensor];
    const int64_t row_bytes = RowBytes(placed.dtype, piece.cols);
    EXPECT_EQ(tensor.name, placed.tensor);
    EXPECT_EQ(tensor.dtype, placed.dtype);
    EXPECT_EQ(piece.order, placed.order);
    EXPECT_EQ(p.layout.files[placed.file].path, "model.gguf");
    EXPECT_EQ(placed.offset, p.reread->FileOffset(piece.tensor) +
                                 static_cast<uint64_t>(piece.first_row * row_bytes));
    EXPECT_EQ(placed.offset, end) << "no gap and no overlap before " << placed.tensor;
    end = placed.offset + static_cast<uint64_t>(piece.rows * row_bytes) + placed.padding;
  }
  EXPECT_EQ(end, ModelFile(p.layout).size);
  EXPECT_EQ(end % 32, 0u);
}

INSTANTIATE_TEST_SUITE_P(All, EveryTarget, ::testing::ValuesIn([] {
                           std::vector<Case> cases;
                           for (const Family* family : Decoders())
                             for (const char* recipe : {"f32", "f16", "bf16", "q8_0", "q4_0"})
                               cases.push_back({family->name, recipe});
                           return cases;
                         }()),
                         [](const auto& param) {
                           return TestName(
                               fmt::format("{}_{}", param.param.family, param.param.recipe));
                         });

TEST(GgufTarget, TypesFollowTheRecipe) {
  const Planned p = PlanTiny("phi3", {}, "q4_0");
  ASSERT_NE(p.reread, nullptr);
  std::map<std::string, DType> types;
  for (const SourceTensor& tensor : p.reread->description().tensors)
    types[tensor.name] = tensor.dtype;
  EXPECT_EQ(types.at("token_embd.weight"), DType::kQ4_0);
  EXPECT_EQ(types.at("blk.0.attn_qkv.weight"), DType::kQ4_0);
  EXPECT_EQ(types.at("blk.1.ffn_up.weight"), DType::kQ4_0);
  EXPECT_EQ(types.at("blk.0.attn_norm.weight"), DType::kF32);
  EXPECT_EQ(types.at("output_norm.weight"), DType::kF32);
  EXPECT_EQ(types.at("output.weight"), DType::kQ8_0) << "Q6_K, but 256 does not divide a row of 64";
  EXPECT_FALSE(types.contains("blk.0.ffn_gate.weight"));
  EXPECT_FALSE(types.contains("blk.0.attn_q.weight"));
}

TEST(GgufTarget, TiedEmbeddingIsTheHead) {
  const Planned p = PlanTiny("llama", {.hidden = 256, .tied = true}, "q4_0");
  ASSERT_NE(p.reread, nullptr);
  EXPECT_TRUE(p.reread->description().hyper.tied_embeddings);
  EXPECT_EQ(p.layout.pieces.front().tensor, "token_embd.weight");
  EXPECT_EQ(p.layout.pieces.front().dtype, DType::kQ6_K);
}

// Of one recipe phi3's fused tensor is as sensitive as its v, and so are all three of its pieces.
TEST(GgufTarget, FusedTensorsHaveOneType) {
  const TinyModelOptions options{.hidden = 256, .intermediate = 512, .layers = 8};
  const auto types_of = [&](std::string_view family) {
    std::map<std::string, std::string> types;
    for (const PlacedPiece& piece : PlanTiny(family, options, "q4_k_m").layout.pieces)
      types[piece.tensor] += std::string(Info(piece.dtype).name) + " ";
    return types;
  };
  auto phi3 = types_of("phi3"), llama = types_of("llama");
  EXPECT_EQ(phi3["blk.0.attn_qkv.weight"], "q6_k q6_k q6_k ");
  EXPECT_EQ(phi3["blk.1.attn_qkv.weight"], "q4_k q4_k q4_k ");
  EXPECT_EQ(phi3["blk.0.ffn_up.weight"], "q4_k q4_k ");
  EXPECT_EQ(llama["blk.0.attn_q.weight"], "q4_k ");
  EXPECT_EQ(llama["blk.0.attn_v.weight"], "q6_k ");
  EXPECT_EQ(phi3["output.weight"], "q6_k ");
}

TEST(GgufTarget, AFileSaysItsRecipe) {
  const std::pair<const char*, int64_t> kinds[] = {
      {"f16", 1},     {"q4_0", 2},    {"q4_1", 3},    {"q8_0", 7},       {"q5_0", 8},
      {"q5_1", 9},    {"q2_k", 10},   {"q3_k_s", 11}, {"q3_k_m", 12},    {"q3_k_l", 13},
      {"q4_k_s", 14}, {"q4_k_m", 15}, {"q5_k_s", 16}, {"q5_k_m", 17},    {"q6_k", 18},
      {"iq4_nl", 25}, {"iq4_xs", 30}, {"bf16", 32},   {"mxfp4_moe", 38}, {"iq3_s", 26},
      {"iq3_m", 27}};
  for (const auto& [recipe, number] : kinds) {
    const Planned p = PlanTiny("llama", {}, recipe);
    MemoryFileSystem files;
    files.Put("m.gguf", Materialize(ModelFile(p.layout)));
    const auto file = files.Open("m.gguf", OpenMode::kRead);
    ASSERT_OK(file);
    const auto header = GgufFile::Read(**file, recipe);
    ASSERT_OK(header);
    EXPECT_EQ(*header->Integer("general.file_type"), number) << recipe;
  }
}

TEST(GgufTarget, RowsThatNoBlockDividesBecomeF16) {
  const Planned p = PlanTiny("llama", {.intermediate = 44}, "q4_0");
  ASSERT_NE(p.reread, nullptr);
  for (const PlacedPiece& piece : p.layout.pieces) {
    if (piece.tensor.ends_with("ffn_down.weight")) {
      EXPECT_EQ(piece.dtype, DType::kF16);
    }
    if (piece.tensor.ends_with("ffn_up.weight")) {
      EXPECT_EQ(piece.dtype, DType::kQ4_0);
    }
  }
}

// A group is refused, whether it divides the rows or not: F16 would be no answer to who asked for 4
// bits.
TEST(GgufTarget, GroupsOfOtherRuntimesAreRefused) {
  const Planned p = PlanTiny("llama", {.intermediate = 44}, "q4_0");
  ASSERT_NE(p.source, nullptr);
  Recipe recipe = *FindRecipe("q4_0");
  for (const char* type : {"u4_g32", "i8_g128"}) {
    recipe.changes.overrides = {*TypeOverride::Parse(fmt::format("role:ffn_down={}", type))};
    EXPECT_ERROR(PlanGguf(p.source->description(), {}, recipe), kInvalidArgument,
                 "'blk.0.ffn_down.weight'", type);
  }
}

// Though no tensor would have it: a file has no number for such a recipe.
TEST(GgufTarget, ABodyThatGgufDoesNotHoldIsRefused) {
  const Planned p = PlanTiny("llama", {}, "q4_0");
  ASSERT_NE(p.source, nullptr);
  Recipe recipe{.name = "own", .body = DType::kU4_G32, .head = DType::kQ8_0};
  recipe.changes.overrides = {*TypeOverride::Parse(".=q4_0")};
  EXPECT_ERROR(PlanGguf(p.source->description(), {}, recipe), kInvalidArgument, "u4_g32");
}

TEST(GgufTarget, LlamaInterleavesQAndKAlone) {
  const Planned p = PlanTiny("llama", {}, "f32");
  for (const PlacedPiece& piece : p.layout.pieces) {
    const bool rotated = piece.tensor.find("attn_q.") != std::string::npos ||
                         piece.tensor.find("attn_k.") != std::string::npos;
    EXPECT_EQ(piece.order == RowOrder::kInterleaved, rotated) << piece.tensor;
  }
}

TEST(GgufTarget, SameSourceElsewhereGivesTheSameFiles) {
  TempDir a, b;
  std::vector<TargetLayout> layouts;
  for (const fs::path& folder : {a / "one", b / "another-name"}) {
    WriteTinyModel(folder, "phi3");
    auto source = OpenModel(RealFileSystem(), folder);
    ASSERT_OK(source);
    EXPECT_EQ((*source)->description().name, folder.filename().string());
    auto layout = PlanGguf((*source)->description(), (*source)->attachments(), *FindRecipe("q4_0"));
    ASSERT_OK(layout);
    layouts.push_back(*std::move(layout));
  }
  ASSERT_EQ(layouts[0].files.size(), layouts[1].files.size());
  for (size_t i = 0; i < layouts[0].files.size(); ++i)
    EXPECT_EQ(Materialize(layouts[0].files[i]), Materialize(layouts[1].files[i]));
}

TEST(GgufTarget, TheModelsOwnNameTravels) {
  const Planned p =
      PlanTiny("phi3", {.extra_config = R"(, "_name_or_path": "someone/tiny-phi")"}, "f32");
  ASSERT_NE(p.reread, nullptr);
  EXPECT_EQ(p.reread->description().name, "tiny-phi");
}

TEST(GgufTarget, LicenceTravelsAsAFileOfItsOwn) {
  const Planned p = PlanTiny("phi3", {}, "f32");
  ASSERT_EQ(p.layout.files.size(), 2u);
  EXPECT_EQ(p.layout.files[0].path, "LICENSE");
  EXPECT_EQ(Materialize(p.layout.files[0]), "Public domain: random numbers.\n");
}

TEST(GgufTarget, AnAttachmentCannotTakeTheModelsPlace) {
  const Planned p = PlanTiny("phi3", {}, "f32");
  ASSERT_NE(p.source, nullptr);
  EXPECT_ERROR(PlanGguf(p.source->description(), {{"model.gguf", "x"}}, *FindRecipe("f32")),
               kInvalidArgument, "model.gguf");
}

TEST(GgufTarget, LongRopeFactorsAreTensorsBehindTheHeader) {
  std::string factors;
  for (int i = 0; i < 8; ++i) factors += (i ? "," : "") + std::to_string(1 + i);
  const Planned p = PlanTiny("phi3",
                             {.context = 1024,
                              .rope_scaling = R"({"type":"longrope","long_factor":[)" + factors +
                                              R"(],"short_factor":[)" + factors + "]}",
                              .extra_config = R"(, "original_max_position_embeddings": 256)"},
                             "q8_0");
  ASSERT_NE(p.reread, nullptr);
  const RopeScaling& rope = p.reread->description().hyper.rope_scaling;
  EXPECT_EQ(rope.kind, RopeScaling::Kind::kLongRope);
  EXPECT_EQ(rope.long_factors, (std::vector<float>{1, 2, 3, 4, 5, 6, 7, 8}));
  EXPECT_EQ(p.reread->description().hyper.original_context, 256);
  ASSERT_TRUE(rope.attention_factor.has_value());
  EXPECT_FLOAT_EQ(*rope.attention_factor, std::sqrt(1 + std::log(4.0f) / std::log(256.0f)));
}

TEST(GgufTarget, Llama3FactorsAreATensor) {
  const Planned p = PlanTiny(
      "llama",
      {.context = 2048, .rope_scaling = R"({"rope_type":"llama3","factor":8.0,"low_freq_factor":1.0,
                                "high_freq_factor":4.0,"original_max_position_embeddings":256})"},
      "f16");
  ASSERT_NE(p.reread, nullptr);
  const std::vector<float> want = Llama3FrequencyFactors(p.source->description().hyper);
  EXPECT_EQ(p.reread->description().hyper.rope_scaling.freq_factors, want);
  EXPECT_EQ(want.size(), 8u);
  EXPECT_EQ(want.front(), 1.0f);
  EXPECT_EQ(want.back(), 8.0f);
}

TEST(GgufTarget, MemoryIsToldInItsTerms) {
  const Planned p = PlanTiny("llama", {}, "f16");
  const v1::Memory& memory = p.layout.memory;
  EXPECT_EQ(memory.weights_bytes(), ModelFile(p.layout).size);
  EXPECT_EQ(memory.model_context(), 256u);
  ASSERT_EQ(memory.caches_size(), 3);
  const uint64_t values = 2 * 2 * 2 * 16;  // K and V, layers, kv heads, head dim
  EXPECT_EQ(memory.caches(0).type(), "f16");
  EXPECT_EQ(memory.caches(0).bytes_per_token(), 2 * values);
  EXPECT_EQ(memory.caches(1).type(), "q8_0");
  EXPECT_EQ(memory.caches(1).bytes_per_token(),
            34 * values / 16);  // a head of 16 takes a whole block of 32
  EXPECT_EQ(memory.caches(2).type(), "f32");
  EXPECT_EQ(memory.caches(2).bytes_per_token(), 4 * values);
  EXPECT_EQ(memory.buffer_bytes(), BuffersOf(p.source->description().hyper).fixed);
}

}  // namespace
}  // namespace quantfleet::pipeline
