#include "pipeline/format/gguf/read/gguf_importance.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>

#include "pipeline/format/gguf/write/gguf_writer.h"
#include "tests/support/canonical_model.h"
#include "tests/support/memory_file.h"
#include "tests/support/status_matchers.h"

namespace quantfleet::pipeline {
namespace {

using testing::MemoryFileSystem;

ModelDescription Model(std::string_view family) {
  const bool mixture = family == "qwen3moe";
  ModelDescription model = testing::CanonicalModel(family, {.hidden = 4,
                                                            .intermediate = 6,
                                                            .layers = 2,
                                                            .heads = 2,
                                                            .kv_heads = 1,
                                                            .head_dim = 2,
                                                            .vocab = 9,
                                                            .context = 8,
                                                            .original_context = 8,
                                                            .rope_dims = 2,
                                                            .experts = mixture ? 3 : 0,
                                                            .experts_used = mixture ? 1 : 0,
                                                            .expert_width = mixture ? 6 : 0});
  const std::vector<PieceName> names = CanonicalPieces(*model.family, model.hyper, false);
  for (size_t i = 0; i < names.size(); ++i) model.pieces[i].expert = names[i].expert;
  return model;
}

// Tensors by name; a vector each, in F32 unless said otherwise.
using Vectors = std::map<std::string, std::vector<float>>;

std::string ImportanceFile(const Vectors& vectors, std::string_view type = "imatrix",
                           DType dtype = DType::kF32) {
  GgufWriter writer;
  if (!type.empty()) writer.AddText("general.type", type);
  std::string data;
  for (const auto& [name, values] : vectors) {
    writer.AddTensor(name, dtype, 1, static_cast<int64_t>(values.size()), 1);
    data += AsText(std::as_bytes(std::span(values)));
    data.resize(writer.data_size(), '\0');
  }
  return writer.Header() + data;
}

class ImportanceTest : public ::testing::Test {
 protected:
  absl::StatusOr<Importance> Read(std::string bytes, std::string_view family = "llama") {
    files_.Put("i.gguf", std::move(bytes));
    return ReadImportance(files_, "i.gguf", Model(family));
  }
  static std::vector<float> Of(const Importance& importance, std::string_view family, Role role,
                               int layer) {
    const ModelDescription model = Model(family);
    return importance.columns[static_cast<size_t>(model.Find(role, layer) - model.pieces.data())];
  }
  MemoryFileSystem files_;
};

TEST_F(ImportanceTest, MeansOfTheColumnsByPiece) {
  const std::string bytes =
      ImportanceFile({{"blk.1.attn_q.weight.in_sum2", {2, 4, 0, 1}},
                      {"blk.1.attn_q.weight.counts", {4}},
                      {"blk.0.ffn_down.weight.in_sum2", {1, 2, 3, 4, 5, 6}},
                      {"blk.0.ffn_down.weight.counts", {0}},
                      {"blk.7.attn_q.weight.in_sum2", {1}},  // of a layer that the model lacks
                      {"blk.7.attn_q.weight.counts", {1}}});
  const auto importance = Read(bytes);
  ASSERT_OK(importance);
  EXPECT_EQ(importance->digest, HashText(bytes));
  EXPECT_EQ(Of(*importance, "llama", Role::kAttnQ, 1), (std::vector<float>{0.5f, 1, 0, 0.25f}));
  EXPECT_EQ(Of(*importance, "llama", Role::kFfnDown, 0), std::vector<float>(6, 1.f))
      << "never used";
  EXPECT_TRUE(Of(*importance, "llama", Role::kAttnK, 1).empty());
  EXPECT_EQ(importance->Of(99), nullptr);
}

TEST_F(ImportanceTest, AFusedTensorsColumnsAreThoseOfEachPiece) {
  const auto importance = Read(ImportanceFile({{"blk.0.attn_qkv.weight.in_sum2", {2, 4, 6, 8}},
                                               {"blk.0.attn_qkv.weight.counts", {2}},
                                               {"blk.0.ffn_up.weight.in_sum2", {1, 1, 2, 2}},
                                               {"blk.0.ffn_up.weight.counts", {1}}}),
                               "phi3");
  ASSERT_OK(importance);
  for (const Role role : {Role::kAttnQ, Role::kAttnK, Role::kAttnV})
    EXPECT_EQ(Of(*importance, "phi3", role, 0), (std::vector<float>{1, 2, 3, 4}));
  for (const Role role : {Role::kFfnGate, Role::kFfnUp})
    EXPECT_EQ(Of(*importance, "phi3", role, 0), (std::vector<float>{1, 1, 2, 2}));
}

// llama-quantize takes ones for it; rounding of our own the mean of what others were given.
TEST_F(ImportanceTest, AnExpertThatNoTokenChoseHasTheMeanOfTheOthers) {
  ModelDescription model = Model("qwen3moe");
  const auto experts = static_cast<size_t>(model.hyper.experts);
  const Piece& gate = *model.Find(Role::kFfnGateExpert, 0);
  const auto cols = static_cast<size_t>(gate.cols);
  std::vector<float> sums(experts * cols, 0.f), counts(experts, 0.f);
  std::fill_n(sums.begin(), cols, 6.f), counts[0] = 3;
  std::fill_n(sums.begin() + static_cast<ptrdiff_t>(cols), cols, 9.f), counts[1] = 2;
  const std::string name = "blk.0.ffn_gate_exps.weight";
  const auto importance =
      Read(ImportanceFile({{name + ".in_sum2", sums}, {name + ".counts", counts}}), "qwen3moe");
  ASSERT_OK(importance);
  for (const Piece& piece : model.pieces) {
    if (piece.role != Role::kFfnGateExpert || piece.layer != 0) continue;
    const auto at = static_cast<size_t>(&piece - model.pieces.data());
    EXPECT_EQ(importance->stand_ins.contains(at), piece.expert >= 2);
    EXPECT_EQ(*importance->OrStandIn(at), piece.expert == 0 ? 2.f : piece.expert == 1 ? 4.5f : 3.f);
    EXPECT_EQ(*importance->Of(at), piece.expert >= 2 ? 1.f : *importance->OrStandIn(at));
  }
  const auto none = Read(ImportanceFile({{name + ".in_sum2", std::vector<float>(experts * cols)},
                                         {name + ".counts", std::vector<float>(experts)}}),
                         "qwen3moe");
  ASSERT_OK(none);
  EXPECT_TRUE(none->stand_ins.empty()) << "nobody can stand in";
}

TEST_F(ImportanceTest, AnEmbeddingsOddLengthIsPassedOver) {
  const auto importance = Read(ImportanceFile({{"token_embd.weight.in_sum2", {1, 2}},
                                               {"token_embd.weight.counts", {1}},
                                               {"output.weight.in_sum2", {1, 2, 3, 4}},
                                               {"output.weight.counts", {1}}}));
  ASSERT_OK(importance);
  EXPECT_TRUE(Of(*importance, "llama", Role::kTokenEmbedding, -1).empty());
  EXPECT_FALSE(Of(*importance, "llama", Role::kOutputHead, -1).empty());
}

TEST_F(ImportanceTest, WhatIsWrongIsNamed) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const auto with = [](std::vector<float> sums, std::vector<float> counts) {
    return ImportanceFile(
        {{"output.weight.in_sum2", std::move(sums)}, {"output.weight.counts", std::move(counts)}});
  };
  EXPECT_OK(Read(with({1, 2, 3, 4}, {2})));
  EXPECT_ERROR(Read(with({1, 2, 3}, {2})), kInvalidArgument, "i.gguf", "'output.weight.in_sum2'",
               "3 values");
  EXPECT_ERROR(Read(with({1, 2, 3, 4, 5, 6, 7, 8}, {2, 2})), kInvalidArgument, "2 counts");
  EXPECT_ERROR(Read(with({1, nan, 3, 4}, {2})), kInvalidArgument, "'output.weight.in_sum2'", "nan",
               "column 1");
  EXPECT_ERROR(Read(with({1, INFINITY, 3, 4}, {2})), kInvalidArgument, "inf", "column 1");
  EXPECT_ERROR(Read(with({1, 2, 3, -4}, {2})), kInvalidArgument, "-4", "column 3");
  EXPECT_ERROR(Read(with({1, 2, 3, 4}, {-1})), kInvalidArgument, "'output.weight.counts'", "-1");
  EXPECT_ERROR(Read(with({1, 2, 3, 4}, {nan})), kInvalidArgument, "'output.weight.counts'", "nan");
  EXPECT_ERROR(Read(with({1, 2, 3, 4}, {INFINITY})), kInvalidArgument, "'output.weight.counts'",
               "inf");
  EXPECT_ERROR(Read(ImportanceFile({{"output.weight.in_sum2", {1, 2, 3, 4}}})), kInvalidArgument,
               "'output.weight.in_sum2'", "'output.weight.counts'");
  EXPECT_ERROR(Read(ImportanceFile({{"x.counts", {1}}})), kInvalidArgument, "'x.counts'",
               "'x.in_sum2'");
  EXPECT_ERROR(Read(ImportanceFile({{"output.weight", {1}}})), kInvalidArgument, "both sums");
  EXPECT_ERROR(Read(ImportanceFile({{"x.in_sum2", {1}}, {"x.counts", {1}}})), kInvalidArgument,
               "llama");
  EXPECT_ERROR(
      Read(ImportanceFile({{"output.weight.in_sum2", {1, 2, 3, 4}}, {"output.weight.counts", {1}}},
                          "model")),
      kInvalidArgument, "general.type", "'model'");
  EXPECT_ERROR(Read(ImportanceFile({}, "")), kInvalidArgument, "general.type", "''");
  std::string bytes = with({1, 2, 3, 4}, {2});
  EXPECT_ERROR(Read(bytes.substr(0, bytes.size() - 40)), kDataLoss, "i.gguf");
  EXPECT_ERROR(Read("old form"), kInvalidArgument, "llama-imatrix --in-file");
  EXPECT_ERROR(ReadImportance(files_, "none.gguf", Model("llama")), kNotFound, "none.gguf");
}

}  // namespace
}  // namespace quantfleet::pipeline
