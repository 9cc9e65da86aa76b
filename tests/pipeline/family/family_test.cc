// The table of families, row by row: what every description has to be, whatever it says.
#include "pipeline/family/family.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>

#include "pipeline/family/shapes.h"
#include "tests/support/status_matchers.h"
#include "tests/support/test_name.h"

namespace quantfleet::pipeline {
namespace {

class EveryFamily : public ::testing::TestWithParam<const Family*> {};
INSTANTIATE_TEST_SUITE_P(All, EveryFamily, ::testing::ValuesIn(Families()), [](const auto& test) {
  return ::quantfleet::testing::TestName(test.param->name);
});

Hyperparameters TwoLayers() {
  Hyperparameters h;
  h.layers = 2;
  h.experts = 3;
  return h;
}

TEST_P(EveryFamily, IsFoundByItsName) { EXPECT_EQ(FindFamily(GetParam()->name), GetParam()); }

TEST_P(EveryFamily, HasAClassThatIsOnlyItsOwn) {
  ASSERT_FALSE(GetParam()->classes.empty());
  std::multiset<std::string_view> names, types;
  for (const Family* family : Families()) {
    std::set<std::string_view> own;  // a class without a head has its type in common with another
    for (const HfClass& known : family->classes) {
      names.insert(known.name);
      own.insert(known.model_type);
    }
    types.insert(own.begin(), own.end());
  }
  for (const HfClass& known : GetParam()->classes) {
    EXPECT_TRUE(known.name.ends_with(known.headless    ? "Model"
                                     : known.text_part ? "ForConditionalGeneration"
                                                       : "ForCausalLM"))
        << known.name;
    EXPECT_EQ(names.count(known.name), 1u) << known.name;
    EXPECT_EQ(types.count(known.model_type), 1u) << known.model_type;
  }
}

// What every reader and runner relies on.
TEST_P(EveryFamily, HasWhatNoModelDoesWithout) {
  const Family& family = *GetParam();
  std::vector roles = {
      Role::kTokenEmbedding, Role::kAttnQ,
      Role::kAttnK,          Role::kAttnV,
      Role::kAttnOutput,     family.encoder ? Role::kLayerOutputNorm : Role::kOutputNorm};
  if (family.experts) {
    for (const Role role :
         {Role::kFfnRouter, Role::kFfnGateExpert, Role::kFfnUpExpert, Role::kFfnDownExpert})
      roles.push_back(role);
  } else {
    roles.insert(roles.end(), {Role::kFfnUp, Role::kFfnDown});
  }
  for (const Role role : roles) {
    const FamilyTensor* tensor = FindTensor(family, role);
    ASSERT_NE(tensor, nullptr) << Name(role);
    EXPECT_EQ(tensor->presence, Presence::kAlways) << Name(role);
    EXPECT_FALSE(IsOptional(family, role));
  }
}

TEST_P(EveryFamily, NamesEachTensorOnceInEachDialect) {
  const Family& family = *GetParam();
  for (const Dialect dialect : {Dialect::kHf, Dialect::kGguf, Dialect::kMlx}) {
    std::set<std::string> names;
    for (const auto& [role, layer, expert] :
         CanonicalPieces(family, TwoLayers(), /*optional=*/true)) {
      const std::string name = TensorName(family, dialect, role, layer, expert);
      // Experts that are one upon the other share a name.
      EXPECT_EQ(names.insert(name).second, expert <= 0 || !StacksExperts(family, dialect, role))
          << name;
      EXPECT_EQ(name.find('*'), std::string::npos);
      // gpt-oss has names of its own for what is not one matrix.
      const bool plain = family.name != "gpt-oss" || dialect == Dialect::kGguf;
      EXPECT_TRUE(!plain || name.ends_with(Info(role).name.ends_with("bias") ? ".bias" : ".weight"))
          << name;
      EXPECT_EQ(name.find("s.1.") != std::string::npos ||
                    name.find("layer.1.") != std::string::npos || name.find("blk.1.") == 0,
                layer == 1 || (expert == 1 && !StacksExperts(family, dialect, role)))
          << name;
    }
  }
}

// The embedding, then layers, then norm and head: cutting relies on it.
TEST_P(EveryFamily, ListsItsTensorsInTheOrderOfTheModel) {
  const Family& family = *GetParam();
  const std::vector<PieceName> pieces = CanonicalPieces(family, TwoLayers(), true);
  const auto of_layer = static_cast<size_t>(std::ranges::count_if(
      family.tensors, [](const FamilyTensor& tensor) { return Info(tensor.role).of_layer; }));
  const auto of_experts = static_cast<size_t>(std::ranges::count_if(
      family.tensors, [](const FamilyTensor& tensor) { return Info(tensor.role).of_expert; }));
  EXPECT_EQ(pieces.size(), family.tensors.size() + of_layer + 2 * 2 * of_experts)
      << "two layers, and two more of each expert's in each";
  EXPECT_EQ(pieces.front(), (PieceName{Role::kTokenEmbedding, -1}));
  EXPECT_EQ(std::ranges::count(pieces, PieceName{Role::kOutputHead, -1}),
            FindTensor(family, Role::kOutputHead) != nullptr ? 1 : 0);
  int last = -1;
  for (const auto& [role, layer, expert] : pieces) {
    EXPECT_EQ(layer >= 0, Info(role).of_layer) << Name(role);
    if (layer >= 0) {
      EXPECT_GE(layer, last);
      last = layer;
    }
  }
  Hyperparameters tied = TwoLayers();
  tied.tied_embeddings = true;
  EXPECT_EQ(
      std::ranges::count(CanonicalPieces(family, tied, true), PieceName{Role::kOutputHead, -1}), 0);
}

// What computes reads the tensors and the members together.
TEST_P(EveryFamily, HasTheTensorsThatItsComputationReads) {
  const Family& family = *GetParam();
  const auto has = [&](Role role) { return FindTensor(family, role) != nullptr; };
  EXPECT_EQ(has(Role::kAttnNorm), !family.encoder);
  EXPECT_EQ(has(Role::kAttnOutputNorm), family.encoder);
  EXPECT_EQ(has(Role::kFfnNorm), !family.encoder && family.residual == Residual::kSequential);
  for (const RoleInfo& info : Roles())
    if (info.bias && has(*info.bias)) {
      EXPECT_TRUE(has(info.role)) << info.name;
      EXPECT_EQ(Info(*info.bias).name, std::string(info.name) + "_bias");
      EXPECT_EQ(Info(*info.bias).rotated, info.rotated) << info.name;
    }
  EXPECT_FALSE(family.hidden_act.empty());
  std::set<std::string_view> hf, gguf;
  for (const FamilyScalar& scalar : family.scalars) {
    EXPECT_TRUE(hf.insert(scalar.name.hf).second) << scalar.name.hf;
    EXPECT_TRUE(gguf.insert(scalar.name.gguf).second) << scalar.name.gguf;
  }
  // A norm of what a part adds comes with the other part's.
  EXPECT_EQ(has(Role::kAttnPostNorm), has(Role::kFfnPostNorm));
  EXPECT_TRUE(family.full_every > 1 ||
              (family.sliding_rope_theta == 0 && family.default_window == 0));
}

// The pieces of a fused tensor are neighbours of one width, so that it is one range of rows.
TEST_P(EveryFamily, FusesNeighbours) {
  const Family& family = *GetParam();
  EXPECT_TRUE(!family.writes_fused || !family.fused.empty());
  for (const FusedTensor& fused : family.fused) {
    ASSERT_GE(fused.roles.size(), 2u);
    const FamilyTensor* first = FindTensor(family, fused.roles.front());
    ASSERT_NE(first, nullptr);
    for (size_t i = 0; i < fused.roles.size(); ++i) {
      EXPECT_EQ(first[i].role, fused.roles[i]);
      const bool vector = Info(fused.roles[i]).rows == Extent::kOne;
      EXPECT_TRUE(vector || Info(fused.roles[i]).cols == Info(fused.roles[0]).cols);
      EXPECT_EQ(FindFused(family, fused.roles[i]), &fused);
      const std::string holds = HoldingTensorName(family, Dialect::kHf, fused.roles[i], 0);
      EXPECT_EQ(holds == LayerTensorName(family, Dialect::kHf, fused.name, 0), family.writes_fused);
    }
  }
}

TEST_P(EveryFamily, TurnsRowsInGgufAlone) {
  const Family& family = *GetParam();
  for (const FamilyTensor& tensor : family.tensors) {
    EXPECT_EQ(RowOrderOf(family, Dialect::kHf, tensor.role), RowOrder::kHf);
    EXPECT_EQ(RowOrderOf(family, Dialect::kGguf, tensor.role),
              Info(tensor.role).rotated ? family.gguf_rows : RowOrder::kHf);
  }
}

TEST(Families, SayWhatHuggingFacesFilesLeaveOut) {
  for (const Family* family : Families())
    for (const FamilyTensor& tensor : family->tensors) {
      const bool norm = Name(tensor.role).ends_with("norm");
      EXPECT_EQ(LackOf(*family, Dialect::kHf, tensor.role),
                norm && family->name.starts_with("gemma") ? 1.f : 0.f);
      EXPECT_EQ(LackOf(*family, Dialect::kGguf, tensor.role), 0.f);
    }
}

TEST(Families, SayWhichLayersTurn) {
  for (const Family* family : Decoders())
    for (const int64_t layer : {0, 1, 2, 3, 4, 6, 7, 8})
      EXPECT_EQ(TurnsLayer(*family, layer), family->name != "smollm3" || layer % 4 != 3)
          << family->name << " " << layer;
}

TEST(Families, SayWhichLayersSeeAWindowAlone) {
  Hyperparameters h;
  h.layers = 18, h.sliding_window = 512, h.full_every = 6;
  EXPECT_EQ(WindowOf(h, 0), 512);
  EXPECT_EQ(WindowOf(h, 4), 512);
  EXPECT_EQ(WindowOf(h, 5), 0);
  EXPECT_EQ(WindowOf(h, 17), 0);
  EXPECT_EQ(SlidingLayers(h), 15);
  h.layers = 16;
  EXPECT_EQ(SlidingLayers(h), 14);
  h.full_every = 0;  // Phi-3 names a window that nobody applies
  EXPECT_EQ(WindowOf(h, 0), 0);
  EXPECT_EQ(SlidingLayers(h), 0);
}

TEST(Families, FindThePeriodOfAList) {
  EXPECT_EQ(PeriodOf({false, true, false, true, false}, 6), 2);
  EXPECT_EQ(PeriodOf({false, false, true}, 6), 3);
  EXPECT_EQ(PeriodOf({true, true}, 6), 1);
  EXPECT_EQ(PeriodOf({false, false}, 6), 6) << "as wanted, where it can be";
  EXPECT_EQ(PeriodOf({false, false}, 2), 3);
  EXPECT_EQ(PeriodOf({false, true, true}, 2), std::nullopt);
  EXPECT_EQ(PeriodOf({true, false, true}, 2), std::nullopt);
}

// Gemma 3 27B divides by sqrt(5376 / 32), its heads have 128 dimensions.
TEST(Families, SayWhatScoresAreDividedBy) {
  Hyperparameters h;
  h.layers = 62, h.hidden = 5376, h.heads = 32, h.head_dim = 128;
  EXPECT_EQ(QueryScalar(*FindFamily("gemma3"), h), 168);
  EXPECT_FLOAT_EQ(AttentionScaleOf(*FindFamily("gemma3"), h), 0.0771517f);
  EXPECT_EQ(AttentionScaleOf(*FindFamily("gemma2"), h), 0);
  h.layers = 46;
  EXPECT_EQ(QueryScalar(*FindFamily("gemma2"), h), 168);
  EXPECT_EQ(AttentionScaleOf(*FindFamily("gemma3"), h), 0);
}

TEST(Families, EncodersTurnNothing) {
  for (const Family* family : Families())
    for (const int64_t layer : {0, 1, 2, 3})
      EXPECT_FALSE(family->encoder && TurnsLayer(*family, layer)) << family->name;
  EXPECT_LT(Decoders().size(), Families().size());
}

TEST(Families, AreNamedForPeople) {
  EXPECT_EQ(FindFamily("mamba"), nullptr);
  EXPECT_EQ(FindFamily(""), nullptr);
  EXPECT_EQ(FamilyNames(&Family::long_rope), "phi3 and phimoe");
  std::string names = FamilyNames();
  for (const Family* family : Families())
    EXPECT_NE(names.find(family->name), std::string::npos) << names;
  EXPECT_NE(names.find(" and "), std::string::npos) << names;
}

TEST(Roles, StandByTheirNumbers) {
  std::set<std::string_view> names;
  for (size_t i = 0; i < Roles().size(); ++i) {
    const RoleInfo& info = Roles()[i];
    EXPECT_EQ(static_cast<size_t>(info.role), i);
    EXPECT_EQ(&Info(info.role), &info);
    EXPECT_TRUE(names.insert(Name(info.role)).second) << info.name;
    EXPECT_NE(info.cols, Extent::kOne) << info.name;
  }
}

TEST(Roles, HaveTheShapesThatTheHyperparametersFix) {
  Hyperparameters h;
  h.hidden = 64, h.intermediate = 96, h.heads = 4, h.kv_heads = 2, h.head_dim = 24, h.vocab = 100;
  EXPECT_EQ(ShapeOf(h, Role::kTokenEmbedding), (Shape{100, 64, 2}));
  EXPECT_EQ(ShapeOf(h, Role::kAttnNorm), (Shape{1, 64, 1}));
  EXPECT_EQ(ShapeOf(h, Role::kAttnQ), (Shape{96, 64, 2}));
  EXPECT_EQ(ShapeOf(h, Role::kAttnKBias), (Shape{1, 48, 1}));
  EXPECT_EQ(ShapeOf(h, Role::kAttnQNorm), (Shape{1, 24, 1}));
  EXPECT_EQ(ShapeOf(h, Role::kAttnOutput), (Shape{64, 96, 2}));
  EXPECT_EQ(ShapeOf(h, Role::kFfnDown), (Shape{64, 96, 2}));
  EXPECT_EQ(ShapeFormula(Role::kAttnK), "(num_key_value_heads * head_dim) x hidden_size");
  EXPECT_EQ(ShapeFormula(Role::kAttnQBias), "num_attention_heads * head_dim");
  EXPECT_EQ(ShapeFormula(Role::kFfnNorm), "hidden_size");
}

}  // namespace
}  // namespace quantfleet::pipeline
