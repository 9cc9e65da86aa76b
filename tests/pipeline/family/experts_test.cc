// Experts as pieces: cut from one tensor each or from tensors that hold all of a layer's, and what
// contradicts itself is refused with both sides named.
#include <gtest/gtest.h>

#include <algorithm>

#include "pipeline/family/cut_pieces.h"
#include "pipeline/family/shapes.h"
#include "pipeline/family/validate.h"
#include "tests/support/status_matchers.h"

namespace quantfleet::pipeline {
namespace {

// The tensors of a checkpoint that is in order, not yet cut.
ModelDescription Whole(Dialect dialect) {
  ModelDescription m;
  m.family = FindFamily("qwen3moe");
  m.hyper = {.hidden = 64,
             .intermediate = 96,
             .layers = 2,
             .heads = 4,
             .kv_heads = 2,
             .head_dim = 16,
             .vocab = 100,
             .context = 128,
             .original_context = 128,
             .rope_dims = 16,
             .experts = 4,
             .experts_used = 2,
             .expert_width = 32};
  for (const PieceName& piece : CanonicalPieces(*m.family, m.hyper, false)) {
    const Shape s = ShapeOf(m.hyper, piece.role);
    const std::string name = TensorName(*m.family, dialect, piece.role, piece.layer, piece.expert);
    const bool stacked = StacksExperts(*m.family, dialect, piece.role);
    if (stacked && piece.expert > 0) continue;
    const int64_t matrices = stacked ? m.hyper.experts : 1;
    m.tensors.push_back(
        {name, DType::kF32, s.rows * matrices, s.cols, stacked ? 3 : s.dims, matrices});
  }
  return m;
}

SourceTensor& Tensor(ModelDescription& m, std::string_view name) {
  return *std::ranges::find(m.tensors, name, &SourceTensor::name);
}

TEST(Experts, ArePiecesOfTensorsOfTheirOwn) {
  ModelDescription m = Whole(Dialect::kHf);
  ASSERT_OK(CutPieces(Dialect::kHf, m));
  for (const Piece& piece : m.pieces) {
    EXPECT_EQ(piece.expert >= 0, Info(piece.role).of_expert);
    EXPECT_EQ(piece.first_row, 0);
  }
  const Piece& first = *m.Find(Role::kFfnDownExpert, 1);
  EXPECT_EQ(m.tensors[first.tensor].name, "model.layers.1.mlp.experts.0.down_proj.weight");
  const Piece& last = *(&first + 3);
  EXPECT_EQ(last.expert, 3);
  EXPECT_EQ(m.tensors[last.tensor].name, "model.layers.1.mlp.experts.3.down_proj.weight");
  EXPECT_EQ(m.Parameters(), 2 * 100 * 64 + 64 + 2 * (4 * 64 + 3 * 4 * 64 * 32 + 2 * 64 + 2 * 16) +
                                2 * (2 * 64 * 64 + 2 * 32 * 64));
}

TEST(Experts, ArePiecesOfOneTensorOneUponTheOther) {
  ModelDescription m = Whole(Dialect::kGguf);
  ASSERT_OK(CutPieces(Dialect::kGguf, m));
  const Piece* piece = m.Find(Role::kFfnGateExpert, 0);
  EXPECT_EQ(m.tensors[piece->tensor].name, "blk.0.ffn_gate_exps.weight");
  for (int expert = 0; expert < 4; ++expert, ++piece) {
    EXPECT_EQ(piece->expert, expert);
    EXPECT_EQ(piece->first_row, 32 * expert);
    EXPECT_EQ(piece->rows, 32);
    EXPECT_EQ(piece->dims, 2);
  }
}

// As gpt-oss has them: gate and up of all experts in one tensor, whose rows take turns, and biases
// in a matrix of a row for each expert.
ModelDescription Alternating() {
  ModelDescription m = Whole(Dialect::kHf);
  m.family = FindFamily("gpt-oss");
  m.tensors.clear();
  for (const PieceName& piece : CanonicalPieces(*m.family, m.hyper, false)) {
    const Shape s = ShapeOf(m.hyper, piece.role);
    const FusedTensor* fused = FindFused(*m.family, piece.role);
    if (piece.expert > 0 || (fused != nullptr && fused->roles.front() != piece.role)) continue;
    const int64_t times = (piece.expert == 0 ? m.hyper.experts : 1) * (fused != nullptr ? 2 : 1);
    const std::string name =
        fused != nullptr ? LayerTensorName(*m.family, Dialect::kHf, fused->name, piece.layer)
                         : TensorName(*m.family, Dialect::kHf, piece.role, piece.layer);
    if (Info(piece.role).by_expert)
      m.tensors.push_back(
          {name, DType::kBF16, m.hyper.experts, s.cols * times / m.hyper.experts, 2});
    else
      m.tensors.push_back({name, DType::kF32, s.rows * times, s.cols, s.dims});
  }
  return m;
}

TEST(Experts, RowsOfTwoPiecesMayTakeTurns) {
  ModelDescription m = Alternating();
  ASSERT_OK(CutPieces(Dialect::kHf, m));
  const Piece *gate = m.Find(Role::kFfnGateExpert, 1), *up = m.Find(Role::kFfnUpExpert, 1);
  EXPECT_EQ(gate->tensor, up->tensor);
  EXPECT_EQ(m.tensors[gate->tensor].name, "model.layers.1.mlp.experts.gate_up_proj");
  for (int expert = 0; expert < 4; ++expert) {
    EXPECT_EQ(gate[expert].first_row, 64 * expert);
    EXPECT_EQ(up[expert].first_row, 64 * expert + 1);
    EXPECT_EQ(gate[expert].rows, 32);
    EXPECT_EQ(gate[expert].step, 2);
  }
  const Piece* bias = m.Find(Role::kFfnUpExpertBias, 0);
  EXPECT_EQ(bias->cols, 4 * 32);
  EXPECT_EQ(bias->first_row, 1);
  EXPECT_EQ(bias->step, 2);
  EXPECT_EQ(m.Find(Role::kFfnDownExpert, 0)->step, 1);
}

TEST(Experts, OfWhichABiasHasOtherRowsAreRefused) {
  ModelDescription m = Alternating();
  Tensor(m, "model.layers.1.mlp.experts.down_proj_bias").rows = 5;
  EXPECT_ERROR(CutPieces(Dialect::kHf, m), kInvalidArgument,
               "'model.layers.1.mlp.experts.down_proj_bias'", "5 rows", "4 experts");
  m = Alternating();
  Tensor(m, "model.layers.0.mlp.experts.gate_up_proj_bias").cols = 62;
  EXPECT_ERROR(CutPieces(Dialect::kHf, m), kInvalidArgument, "gate_up_proj_bias'", "[4, 62]");
  m = Alternating();
  Tensor(m, "model.layers.0.mlp.experts.gate_up_proj").rows += 2;
  EXPECT_ERROR(CutPieces(Dialect::kHf, m), kInvalidArgument, "gate_up_proj'", "[258, 64]");
}

TEST(Experts, OneThatIsMissingOrTooManyIsNamedBesideTheCount) {
  ModelDescription m = Whole(Dialect::kHf);
  m.hyper.experts = 5;
  Tensor(m, "model.layers.0.mlp.gate.weight").rows = 5;
  EXPECT_ERROR(CutPieces(Dialect::kHf, m), kInvalidArgument,
               "'model.layers.0.mlp.experts.4.gate_proj.weight'", "num_experts is 5");
  m = Whole(Dialect::kHf);
  m.hyper.experts = 3;
  EXPECT_ERROR(CutPieces(Dialect::kHf, m), kInvalidArgument, ".mlp.experts.3.", "num_experts is 3");
  m = Whole(Dialect::kGguf);
  std::erase_if(m.tensors,
                [](const SourceTensor& t) { return t.name == "blk.1.ffn_up_exps.weight"; });
  EXPECT_ERROR(CutPieces(Dialect::kGguf, m), kInvalidArgument, "'blk.1.ffn_up_exps.weight'",
               "expert_count is 4");
}

TEST(Experts, OfAnotherShapeAreRefusedWithBothShapes) {
  ModelDescription m = Whole(Dialect::kHf);
  Tensor(m, "model.layers.1.mlp.experts.2.up_proj.weight").rows = 48;
  EXPECT_ERROR(CutPieces(Dialect::kHf, m), kInvalidArgument,
               "'model.layers.1.mlp.experts.2.up_proj.weight'", "[48, 64]", "32");
  m = Whole(Dialect::kGguf);
  SourceTensor& fewer = Tensor(m, "blk.1.ffn_down_exps.weight");
  fewer.rows = 3 * 64, fewer.matrices = 3;
  EXPECT_ERROR(CutPieces(Dialect::kGguf, m), kInvalidArgument, "'blk.1.ffn_down_exps.weight'",
               "3 experts of [64, 32]", "4 of [64, 32]");
  // As many rows in all, otherwise divided.
  m = Whole(Dialect::kGguf);
  SourceTensor& other = Tensor(m, "blk.0.ffn_gate_exps.weight");
  other.matrices = 8;
  EXPECT_ERROR(CutPieces(Dialect::kGguf, m), kInvalidArgument, "8 experts of [16, 64]",
               "4 of [32, 64]");
}

TEST(Experts, ARouterOfOtherRowsThanTheCountIsRefused) {
  for (const Dialect dialect : {Dialect::kHf, Dialect::kGguf}) {
    ModelDescription m = Whole(dialect);
    const std::string name = TensorName(*m.family, dialect, Role::kFfnRouter, 1);
    for (const int64_t rows : {3, 5}) {
      Tensor(m, name).rows = rows;
      EXPECT_ERROR(CutPieces(dialect, m), kInvalidArgument, name, fmt::format("[{}, 64]", rows),
                   "4");
    }
  }
}

TEST(Experts, CountsThatCannotBeAreRefusedBeforeAnythingIsCut) {
  const auto refused = [](auto change, std::string_view a, std::string_view b) {
    ModelDescription m = Whole(Dialect::kHf);
    change(m.hyper);
    EXPECT_ERROR(CutPieces(Dialect::kHf, m), kInvalidArgument, std::string(a), std::string(b));
    EXPECT_TRUE(m.pieces.empty());
  };
  refused([](Hyperparameters& h) { h.experts_used = 5; }, "num_experts_per_tok is 5", "4");
  refused([](Hyperparameters& h) { h.experts_used = 0; }, "num_experts_per_tok is 0", "4");
  refused([](Hyperparameters& h) { h.experts_used = -1; }, "num_experts_per_tok is -1", "4");
  refused([](Hyperparameters& h) { h.experts = 0; }, "num_experts is 0", "1024");
  refused([](Hyperparameters& h) { h.experts = int64_t{1} << 62; }, "num_experts is", "1024");
  refused([](Hyperparameters& h) { h.experts = 1024, h.layers = 1000; }, "1024 in 1000 layers",
          "65536");
  refused([](Hyperparameters& h) { h.expert_width = int64_t{1} << 40; }, "moe_intermediate_size",
          "1048576");
}

}  // namespace
}  // namespace quantfleet::pipeline
