#include "pipeline/family/validate.h"

#include <gtest/gtest.h>

#include <limits>

#include "common/base/utf8.h"
#include "pipeline/family/cut_pieces.h"
#include "pipeline/family/shapes.h"
#include "pipeline/model/description.h"
#include "pipeline/model/rope.h"
#include "tests/support/status_matchers.h"

namespace quantfleet::pipeline {
namespace {

// A GGUF of Phi-2 may have q, k and v in one tensor, and so their biases, which count elements.
TEST(CutPieces, TakesFusedBiasesApart) {
  ModelDescription m;
  m.family = FindFamily("phi2");
  m.hyper = {.hidden = 64,
             .intermediate = 96,
             .layers = 1,
             .heads = 4,
             .kv_heads = 2,
             .head_dim = 16,
             .vocab = 100,
             .context = 128,
             .original_context = 128,
             .rope_dims = 8};
  for (const PieceName& piece : CanonicalPieces(*m.family, m.hyper, false)) {
    const Shape s = ShapeOf(m.hyper, piece.role);
    const FusedTensor* fused = FindFused(*m.family, piece.role);
    const std::string name = fused != nullptr
                                 ? LayerTensorName(*m.family, Dialect::kGguf, fused->name, 0)
                                 : TensorName(*m.family, Dialect::kGguf, piece.role, piece.layer);
    if (!m.tensors.empty() && m.tensors.back().name == name) {
      (s.dims == 1 ? m.tensors.back().cols : m.tensors.back().rows) +=
          s.dims == 1 ? s.cols : s.rows;
    } else {
      m.tensors.push_back({name, DType::kF32, s.rows, s.cols, s.dims});
    }
  }
  ASSERT_OK(CutPieces(Dialect::kGguf, m));
  EXPECT_EQ(m.Find(Role::kAttnQBias, 0)->first_row, 0);
  EXPECT_EQ(m.Find(Role::kAttnKBias, 0)->first_row, 64);
  EXPECT_EQ(m.Find(Role::kAttnVBias, 0)->first_row, 96);
  EXPECT_EQ(m.Find(Role::kAttnV, 0)->first_row, 96);
  EXPECT_EQ(m.tensors[m.Find(Role::kAttnVBias, 0)->tensor].name, "blk.0.attn_qkv.bias");
}

// One tensor per piece, all F32: a description that is in order.
ModelDescription Good(std::string_view family = "llama") {
  ModelDescription m;
  m.family = FindFamily(family);
  m.hyper = {.hidden = 64,
             .intermediate = 96,
             .layers = 2,
             .heads = 4,
             .kv_heads = 2,
             .head_dim = 16,
             .vocab = 100,
             .context = 128,
             .original_context = 128,
             .rope_dims = 16};
  for (const PieceName& name : CanonicalPieces(*m.family, m.hyper, false)) {
    const Shape s = ShapeOf(m.hyper, name.role);
    m.pieces.push_back({.role = name.role,
                        .layer = name.layer,
                        .rows = s.rows,
                        .cols = s.cols,
                        .dims = s.dims,
                        .tensor = m.tensors.size(),
                        .first_row = 0});
    m.tensors.push_back(
        {fmt::format("{}.{}", Name(name.role), name.layer), DType::kF32, s.rows, s.cols, s.dims});
  }
  return m;
}

TEST(Validate, AcceptsWhatIsInOrder) {
  EXPECT_OK(Validate(Good()));
  EXPECT_OK(Validate(Good("phi3")));
  EXPECT_OK(Validate(Good("qwen2")));
}

TEST(Validate, NamesAMissingOrSuperfluousPiece) {
  ModelDescription m = Good();
  m.pieces.erase(m.pieces.begin() + 3);
  EXPECT_ERROR(Validate(m), kInvalidArgument, "attn_k", "layer 0");
  m = Good();
  m.pieces.push_back(m.pieces.back());
  EXPECT_ERROR(Validate(m), kInvalidArgument, "unexpected");
  m = Good();
  std::swap(m.pieces[2], m.pieces[3]);
  EXPECT_ERROR(Validate(m), kInvalidArgument, "place");
  m = Good();
  m.tensors.push_back({"stray", DType::kF32, 4, 4, 2});
  EXPECT_ERROR(Validate(m), kInvalidArgument, "'stray'", "llama");
}

TEST(Validate, NamesTensorAndFieldOfAWrongShape) {
  ModelDescription m = Good();
  m.pieces[2].rows = 32;
  EXPECT_ERROR(Validate(m), kInvalidArgument, "num_attention_heads * head_dim", "[64, 64]");
  m = Good();
  m.tensors[2].rows = 32;
  EXPECT_ERROR(Validate(m), kInvalidArgument, "'attn_q.0'", "[32, 64]");
  m = Good();
  m.tensors[2].rows = 128;
  EXPECT_ERROR(Validate(m), kInvalidArgument, "'attn_q.0'", "[128, 64]");
  m = Good();
  m.tensors[2].cols = 32;
  EXPECT_ERROR(Validate(m), kInvalidArgument, "attn_q.0");
  m = Good();
  m.tensors[2].dims = 1;
  EXPECT_ERROR(Validate(m), kInvalidArgument, "attn_q.0");
  m = Good();
  m.tensors[2].dtype = DType::kQ4_K;
  EXPECT_ERROR(Validate(m), kInvalidArgument, "block", "q4_k");
}

TEST(Validate, PiecesOfOneTensorNeitherOverlapNorLeaveGaps) {
  ModelDescription m = Good();
  // k and v of layer 0 out of one tensor.
  m.pieces[4].tensor = m.pieces[3].tensor;
  m.tensors[3].rows = 64;
  m.tensors.erase(m.tensors.begin() + 4);
  for (Piece& p : m.pieces)
    if (p.tensor > 4) --p.tensor;
  for (size_t i = 5; i < m.pieces.size(); ++i) m.pieces[i].tensor = i - 1;
  m.pieces[4].first_row = 32;
  EXPECT_OK(Validate(m));
  m.pieces[4].first_row = 0;
  EXPECT_ERROR(Validate(m), kInvalidArgument, "row 0");
  m.pieces[4].first_row = 33;
  EXPECT_ERROR(Validate(m), kInvalidArgument, "attn_k.0");
  m.pieces[4].first_row = std::numeric_limits<int64_t>::max();
  EXPECT_ERROR(Validate(m), kInvalidArgument, "attn_k.0");
}

TEST(Validate, BiasesBelongToTheirArchitectures) {
  ModelDescription m = Good();
  m.family = FindFamily("qwen2");
  EXPECT_ERROR(Validate(m), kInvalidArgument, "biases");
  m = Good("qwen2");
  m.family = FindFamily("phi3");
  EXPECT_ERROR(Validate(m), kUnimplemented, "biases");
}

TEST(Validate, TokenizersHaveToFit) {
  ModelDescription m = Good();
  m.tokenizer.kind = text::TokenizerData::Kind::kSpm;
  m.tokenizer.tokens.resize(99);
  EXPECT_ERROR(Validate(m), kInvalidArgument, "99 tokens", "vocab_size", "100");
  m.tokenizer.tokens.resize(100);
  EXPECT_OK(Validate(m));
  m.tokenizer.eos = 100;
  EXPECT_ERROR(Validate(m), kInvalidArgument, "eos", "100");
  m.tokenizer.eos.reset();
  m.tokenizer.more_ends = {2, 100};
  EXPECT_ERROR(Validate(m), kInvalidArgument, "token 100 ");
  m.tokenizer.more_ends.clear();
  m.tokenizer.tokens[7].score = std::numeric_limits<float>::infinity();
  EXPECT_ERROR(Validate(m), kInvalidArgument, "token 7");
}

TEST(Description, FindsAndCounts) {
  const ModelDescription m = Good();
  ASSERT_NE(m.Find(Role::kFfnDown, 1), nullptr);
  EXPECT_EQ(m.Find(Role::kFfnDown, 2), nullptr);
  const int64_t layer = 64 + 64 * 64 + 2 * 32 * 64 + 64 * 64 + 64 + 3 * 96 * 64;
  EXPECT_EQ(m.Parameters(), 2 * 100 * 64 + 2 * layer + 64);
}

TEST(Description, NamesThatArtifactsMayCarry) {
  EXPECT_EQ(PublishableName("Phi-3 mini"), "Phi-3 mini");
  EXPECT_EQ(PublishableName("a\nb"), "");
  EXPECT_EQ(PublishableName("\xff"), "");
  EXPECT_EQ(PublishableName(std::string(129, 'x')), "");
}

TEST(Utf8, WellFormedOrNot) {
  for (const char* good : {"", "abc", "\xc3\xa4", "\xe2\x96\x81", "\xf0\x9f\x98\x80",
                           "\xed\x9f\xbf", "\xf4\x8f\xbf\xbf"})
    EXPECT_TRUE(IsUtf8(good)) << good;
  for (const char* bad : {"\x80", "\xc0\x80", "\xc3", "\xe2\x96", "\xe0\x80\x80", "\xed\xa0\x80",
                          "\xf0\x80\x80\x80", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "a\xff"})
    EXPECT_FALSE(IsUtf8(bad)) << bad;
}

// Llama 3.1's values, computed from the published formula with other code.
TEST(Rope, Llama3Factors) {
  Hyperparameters h{
      .context = 131072, .original_context = 8192, .rope_dims = 128, .rope_theta = 500000.f};
  h.rope_scaling = {
      .kind = RopeScaling::Kind::kLlama3, .factor = 8, .low_freq_factor = 1, .high_freq_factor = 4};
  const std::vector<float> f = Llama3FrequencyFactors(h);
  ASSERT_EQ(f.size(), 64u);
  EXPECT_EQ(f[0], 1.0f);
  EXPECT_EQ(f[28], 1.0f);
  EXPECT_EQ(f[63], 8.0f);
  for (size_t i = 1; i < f.size(); ++i) EXPECT_GE(f[i], f[i - 1]);
  EXPECT_NEAR(f[29], 1.207483871, 1e-5);
  EXPECT_NEAR(f[30], 1.553414629, 1e-5);
  EXPECT_NEAR(f[31], 2.026313206, 1e-5);
  h.rope_scaling.freq_factors = {1, 2};
  EXPECT_EQ(Llama3FrequencyFactors(h), (std::vector<float>{1, 2}));
}

}  // namespace
}  // namespace quantfleet::pipeline
