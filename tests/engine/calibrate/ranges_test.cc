// Ranges of every step, against the reference's inputs of products and against each other.
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "engine/calibrate/layer_pass.h"
#include "tests/engine/calibrate/runnable_reference.h"
#include "tests/support/status_matchers.h"

namespace quantfleet::engine {
namespace {

using namespace testing;  // NOLINT: the reference model

struct Bounds {
  double least = 1e30, greatest = -1e30;
  uint64_t count = 0;
  void Add(double value) {
    least = std::min(least, value);
    greatest = std::max(greatest, value);
    ++count;
  }
};

std::vector<int32_t> Ids(int64_t count, int64_t vocab) {
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < count; ++i) ids.push_back(static_cast<int32_t>(i * 37 % vocab));
  return ids;
}

std::map<std::string, ActivationRange> RangesOf(RunnableModel& model, std::span<const int32_t> ids,
                                                int64_t chunk) {
  LayerPass pass(model, {.chunk = chunk, .ranges = true});
  EXPECT_OK(pass.Begin(ids));
  std::map<std::string, ActivationRange> ranges;
  for (int layer = 0; layer < model.description.hyper.layers; ++layer) {
    EXPECT_OK(pass.Run(layer));
    for (ActivationRange& range : pass.TakeRanges()) {
      const std::string name = range.name;
      EXPECT_TRUE(ranges.emplace(name, std::move(range)).second) << name;
    }
  }
  return ranges;
}

// What the reference multiplies with, by the name of the step that makes it.
std::map<std::string, Bounds> ReferenceBounds(const ReferenceModel& model,
                                              std::span<const int32_t> ids, size_t chunk) {
  std::map<std::string, Bounds> bounds;
  const std::map<Role, std::string> makers = {
      {Role::kAttnQ, "attn_norm"},       {Role::kAttnOutput, "attn_heads"},
      {Role::kFfnGate, "ffn_norm"},      {Role::kFfnDown, "ffn_activated"},
      {Role::kFfnRouter, "ffn_norm"},    {Role::kFfnDownExpert, "ffn_activated"},
      {Role::kOutputHead, "output_norm"}};
  on_reference_product = [&](const ReferenceWeights& l, Role role, int,
                             const std::vector<double>& x) {
    const auto maker = makers.find(role);
    if (maker == makers.end()) return;
    const bool outer = &l == &model.outer;
    Bounds& of = bounds[outer ? maker->second
                              : fmt::format("blk.{}.{}", &l - model.layers.data(), maker->second)];
    for (const double value : x) of.Add(value);
  };
  for (size_t at = 0; at < ids.size(); at += chunk)
    ReferenceLogits(model, {},
                    {ids.begin() + static_cast<ptrdiff_t>(at),
                     ids.begin() + static_cast<ptrdiff_t>(at + chunk)});
  on_reference_product = nullptr;
  return bounds;
}

TEST(Ranges, AreThoseOfTheDefinitionInEveryFamily) {
  for (const Family* family : pipeline::Decoders()) {
    SCOPED_TRACE(family->name);
    const ReferenceModel model = ReferenceBuilder({.family = family->name}).Build();
    const std::vector<int32_t> ids = Ids(40, 50);
    RunnableModel runnable = MakeRunnable(model, 2);
    const auto ranges = RangesOf(runnable, ids, 20);
    const auto bounds = ReferenceBounds(model, ids, 20);
    EXPECT_GE(bounds.size(), 6u);
    for (const auto& [name, wanted] : bounds) {
      SCOPED_TRACE(name);
      const auto got = ranges.find(name);
      ASSERT_NE(got, ranges.end());
      const double within = 1e-4 * std::max(std::abs(wanted.least), std::abs(wanted.greatest));
      EXPECT_NEAR(got->second.least, wanted.least, within);
      EXPECT_NEAR(got->second.greatest, wanted.greatest, within);
      // Some products are computed elsewhere than the reference's hook sees.
      EXPECT_EQ(got->second.count, wanted.count);
    }
    for (const char* name : {"token_embd", "logits", "blk.0.attn_q", "blk.0.attn_k_turned",
                             "blk.1.attn_v", "blk.1.attn_output", "blk.1.ffn_up", "blk.0.ffn_down",
                             "blk.0.attn_residual", "blk.1.ffn_residual"})
      EXPECT_TRUE(ranges.contains(name)) << name;
  }
}

// From the turned queries and keys that the layer itself shows.
TEST(Ranges, ScoresAreThoseOfThePositionsThatATokenSees) {
  const ReferenceModel model = ReferenceBuilder({.family = "llama"}).Build();
  const std::vector<int32_t> ids = Ids(20, 50);
  RunnableModel runnable = MakeRunnable(model);
  const Hyperparameters& h = model.description.hyper;
  std::vector<float> states(ids.size() * static_cast<size_t>(h.hidden)), q, k;
  ASSERT_OK(runnable.transformer->Embed(ids, states));
  Bounds shown;
  const auto cache = *runnable.MakeCache(20);
  const auto take = [](const Transformer::ProductInput&) {};
  const auto watch = [&](Step step, std::span<const float> values) {
    if (step == Step::kTurnedQueries) q.insert(q.end(), values.begin(), values.end());
    if (step == Step::kTurnedKeys) k.insert(k.end(), values.begin(), values.end());
    if (step == Step::kScores)
      for (const float value : values) shown.Add(value);
  };
  ASSERT_OK(runnable.transformer->RunThroughLayer(0, *cache, states, take, watch));
  Bounds wanted;
  const auto dim = static_cast<size_t>(h.head_dim), heads = static_cast<size_t>(h.heads),
             kv_heads = static_cast<size_t>(h.kv_heads);
  for (size_t t = 0; t < ids.size(); ++t)
    for (size_t head = 0; head < heads; ++head)
      for (size_t p = 0; p <= t; ++p) {
        double sum = 0;
        for (size_t i = 0; i < dim; ++i)
          sum += double{q[(t * heads + head) * dim + i]} *
                 k[(p * kv_heads + head / (heads / kv_heads)) * dim + i];
        wanted.Add(sum / std::sqrt(static_cast<double>(dim)));
      }
  EXPECT_EQ(shown.count, wanted.count);
  EXPECT_NEAR(shown.least, wanted.least, 1e-5);
  EXPECT_NEAR(shown.greatest, wanted.greatest, 1e-5);
}

TEST(Ranges, ThreadsChangeNothing) {
  const ReferenceModel model =
      ReferenceBuilder({.family = "qwen3moe", .dtype = DType::kF16}).Build();
  const std::vector<int32_t> ids = Ids(40, 50);
  RunnableModel one = MakeRunnable(model, 1), three = MakeRunnable(model, 3);
  const auto a = RangesOf(one, ids, 20), b = RangesOf(three, ids, 20);
  ASSERT_EQ(a.size(), b.size());
  for (const auto& [name, range] : a) {
    EXPECT_EQ(range.least, b.at(name).least) << name;
    EXPECT_EQ(range.greatest, b.at(name).greatest) << name;
    EXPECT_EQ(range.percentiles, b.at(name).percentiles) << name;
  }
}

}  // namespace
}  // namespace quantfleet::engine
