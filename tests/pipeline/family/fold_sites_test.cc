// Where numbers may move in each kind of model.
#include "pipeline/family/fold_sites.h"

#include <fmt/ranges.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/canonical_model.h"

namespace quantfleet::pipeline {
namespace {

using ::testing::ElementsAre;

ModelDescription ModelOf(std::string_view family, int64_t layers = 1) {
  return ::quantfleet::testing::CanonicalModel(family, {.hidden = 64,
                                                        .intermediate = 96,
                                                        .layers = layers,
                                                        .heads = 4,
                                                        .kv_heads = 2,
                                                        .head_dim = 16,
                                                        .vocab = 100,
                                                        .context = 128,
                                                        .original_context = 128,
                                                        .rope_dims = 16,
                                                        .experts = 2,
                                                        .experts_used = 1,
                                                        .expert_width = 32});
}

// "attn_norm > attn_q attn_k attn_v"
std::vector<std::string> Told(const ModelDescription& model) {
  const auto name = [&](uint32_t piece) {
    const Piece& p = model.pieces[piece];
    return p.expert < 0 ? std::string(Name(p.role)) : fmt::format("{}.{}", Name(p.role), p.expert);
  };
  std::vector<std::string> told;
  for (const FoldSite& site : FoldSitesOf(model)) {
    std::vector<std::string> from, to;
    for (const uint32_t piece : site.producers) from.push_back(name(piece));
    for (const uint32_t piece : site.consumers) to.push_back(name(piece));
    told.push_back(fmt::format("{} > {}", fmt::join(from, " "), fmt::join(to, " ")));
  }
  return told;
}

TEST(FoldSites, OfALayerInSequence) {
  for (const char* family : {"llama", "phi3", "qwen3", "gemma", "gemma2", "gemma3"})
    EXPECT_THAT(Told(ModelOf(family)),
                ElementsAre("attn_norm > attn_q attn_k attn_v", "attn_v > attn_output",
                            "ffn_norm > ffn_gate ffn_up", "ffn_up > ffn_down"))
        << family;
}

// Its bias is divided too; GELU without a gate lets nothing through.
TEST(FoldSites, OneNormFeedsPartsThatRunSideBySide) {
  EXPECT_THAT(Told(ModelOf("phi2")),
              ElementsAre("attn_norm attn_norm_bias > attn_q attn_k attn_v ffn_up",
                          "attn_v attn_v_bias > attn_output"));
}

TEST(FoldSites, ExpertsShareANormWithTheirRouterAndNothingElse) {
  EXPECT_THAT(
      Told(ModelOf("qwen3moe")),
      ElementsAre("attn_norm > attn_q attn_k attn_v", "attn_v > attn_output",
                  "ffn_norm > ffn_router ffn_gate_expert.0 ffn_gate_expert.1 "
                  "ffn_up_expert.0 ffn_up_expert.1",
                  "ffn_up_expert.0 > ffn_down_expert.0", "ffn_up_expert.1 > ffn_down_expert.1"));
}

TEST(FoldSites, AnActivationThatCutsOffLetsNothingThrough) {
  EXPECT_THAT(Told(ModelOf("gpt-oss")),
              ElementsAre("attn_norm > attn_q attn_k attn_v", "attn_v attn_v_bias > attn_output",
                          "ffn_norm > ffn_router ffn_gate_expert.0 ffn_gate_expert.1 "
                          "ffn_up_expert.0 ffn_up_expert.1"));
}

TEST(FoldSites, AnEncodersNormsAreAddedToo) {
  EXPECT_THAT(Told(ModelOf("bert")), ElementsAre("attn_v attn_v_bias > attn_output"));
}

TEST(FoldSites, HeadsOfQueriesShareTheNumbersOfTheirValues) {
  const std::vector<FoldSite> sites = FoldSitesOf(ModelOf("llama"));
  const FoldSite& values = sites[1];
  EXPECT_EQ(values.width, 32);
  EXPECT_EQ(values.NumberOf(0), 0);
  EXPECT_EQ(values.NumberOf(16 + 3), 3) << "the second head has the values of the first";
  EXPECT_EQ(values.NumberOf(32 + 3), 16 + 3);
  EXPECT_EQ(values.NumberOf(63), 31);
  EXPECT_EQ(sites[0].NumberOf(63), 63);
}

TEST(FoldSites, EachLayerHasItsOwn) {
  const std::vector<FoldSite> sites = FoldSitesOf(ModelOf("llama", 3));
  ASSERT_EQ(sites.size(), 12u);
  EXPECT_EQ(NameOf(sites[9]), "blk.2.attn_v");
  EXPECT_EQ(NameOf(FoldSitesOf(ModelOf("qwen3moe"))[4]), "blk.0.ffn_up_expert.1");
}

}  // namespace
}  // namespace quantfleet::pipeline
