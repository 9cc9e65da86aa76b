// Models against each other, and golden prompts, on tiny GGUF files.
#include "engine/measure/comparison.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "engine/decode/likeliest.h"
#include "engine/measure/golden.h"
#include "tests/support/status_matchers.h"

namespace quantfleet::engine {
namespace {

class Done final : public Continuation {
 public:
  explicit Done(GenerateResult result) : result_(std::move(result)) {}
  int64_t places() const override { return 0; }
  bool done() const override { return true; }
  absl::StatusOr<GenerateResult> Take() override { return result_; }

 private:
  const GenerateResult result_;
};

// Logits that a test writes down: those of position t hang on the token there alone.
class TableEngine final : public Engine {
 public:
  explicit TableEngine(std::vector<std::vector<float>> rows) : rows_(std::move(rows)) {}
  absl::StatusOr<std::vector<int32_t>> Tokenize(std::string_view text, bool) const override {
    std::vector<int32_t> ids;
    for (const char c : text) ids.push_back(c - '0');
    return ids;
  }
  absl::StatusOr<std::unique_ptr<Continuation>> Begin(GenerateRequest request) override {
    GenerateResult result;
    int32_t last = request.prompt.back() - '0';
    for (int64_t i = 0; i < request.max_tokens; ++i)
      result.tokens.push_back(last = Likeliest(rows_[last]));
    result.prompt_tokens = static_cast<int64_t>(request.prompt.size()) + hidden_tokens;
    return std::make_unique<Done>(std::move(result));
  }
  void Step(std::span<Continuation* const>) override {}
  absl::StatusOr<EvalResult> Evaluate(std::string_view) override {
    return Unimplemented("not needed");
  }
  absl::StatusOr<EvalResult> EvaluateTokens(std::span<const int32_t>, int64_t) override {
    return Unimplemented("not needed");
  }
  absl::StatusOr<std::vector<float>> Logits(std::span<const int32_t> tokens) override {
    longest = std::max(longest, tokens.size());
    std::vector<float> logits;
    for (const int32_t token : tokens)
      logits.insert(logits.end(), rows_[token].begin(), rows_[token].end());
    return logits;
  }
  std::string_view chat_template() const override { return ""; }
  std::string_view model_name() const override { return ""; }
  int64_t context() const override { return 100; }
  int64_t vocab() const override { return static_cast<int64_t>(rows_[0].size()); }

  size_t longest = 0;
  int64_t hidden_tokens = 0;

 private:
  const std::vector<std::vector<float>> rows_;
};

// ln of the probabilities 1/2, 1/4, 1/4 and so on.
std::vector<float> Row(std::initializer_list<double> probabilities) {
  std::vector<float> row;
  for (const double p : probabilities)
    row.push_back(static_cast<float>(std::log(p)) + 3);  // softmax does not see the 3
  return row;
}

TEST(Compare, FiguresAreThoseOfTheDefinition) {
  TableEngine reference({Row({0.5, 0.25, 0.25}), Row({0.25, 0.5, 0.25}), Row({0.25, 0.25, 0.5})});
  TableEngine candidate({Row({0.25, 0.5, 0.25}), Row({0.25, 0.5, 0.25}), Row({0.25, 0.25, 0.5})});
  const auto result = Compare(reference, candidate, std::vector<int32_t>{0, 1, 2, 0}, {});
  ASSERT_OK(result);
  EXPECT_EQ(result->tokens, 3);
  EXPECT_NEAR(result->reference_mean_nll, (std::log(4) + std::log(4) + std::log(4)) / 3, 1e-6);
  EXPECT_NEAR(result->mean_nll, (std::log(2) + std::log(4) + std::log(4)) / 3, 1e-6);
  // ln 2 once and ln 4 twice: sqrt((4/9 + 1/9 + 1/9) / 2 / 3) of their difference.
  EXPECT_NEAR(result->nll_error, std::log(2) / 3, 1e-6);
  EXPECT_NEAR(result->reference_nll_error, 0, 1e-6);
  EXPECT_NEAR(result->top1_agreement, 2.0 / 3, 1e-12);
  const double kl = 0.5 * std::log(2) + 0.25 * std::log(0.5);  // at one position of three
  EXPECT_NEAR(result->mean_kl, kl / 3, 1e-6);
  EXPECT_NEAR(result->kl_error, kl / 3, 1e-6);  // sqrt((4/9 + 1/9 + 1/9) / 2 / 3) = 1/3
  EXPECT_NEAR(result->kl_p99, kl, 1e-6);
}

TEST(Compare, AModelAgreesWithItself) {
  TableEngine a({Row({0.7, 0.3}), Row({0.2, 0.8})}), b({Row({0.7, 0.3}), Row({0.2, 0.8})});
  const auto result = Compare(a, b, std::vector<int32_t>{0, 1, 1, 0, 1}, {});
  ASSERT_OK(result);
  EXPECT_EQ(result->top1_agreement, 1);
  EXPECT_EQ(result->mean_kl, 0);
  EXPECT_EQ(result->kl_error, 0);
  EXPECT_EQ(result->kl_p99, 0);
  EXPECT_EQ(result->mean_nll, result->reference_mean_nll);
}

TEST(Compare, TheWorstPositionInAHundredIsLeftOutOfThePercentile) {
  TableEngine a({Row({0.5, 0.5}), Row({0.5, 0.5})}), b({Row({0.999, 0.001}), Row({0.9, 0.1})});
  const double usual = 0.5 * (std::log(0.5 / 0.9) + std::log(0.5 / 0.1));
  std::vector<int32_t> tokens(200, 1);
  tokens[50] = 0;  // half a percent of the positions
  const auto result = Compare(a, b, tokens, {.window = 100});
  ASSERT_OK(result);
  EXPECT_NEAR(result->kl_p99, usual, 1e-6);
  EXPECT_GT(result->mean_kl, usual);
}

TEST(Compare, WindowsBoundWhatIsReadAtOnceAndTheLastMayBeOneToken) {
  TableEngine a({Row({0.7, 0.3}), Row({0.2, 0.8})}), b({Row({0.7, 0.3}), Row({0.2, 0.8})});
  std::vector<std::pair<uint64_t, uint64_t>> told;
  const auto result = Compare(a, b, std::vector<int32_t>(9, 1),
                              {.window = 4, .on_progress = [&](uint64_t done, uint64_t all) {
                                 told.emplace_back(done, all);
                               }});
  ASSERT_OK(result);
  EXPECT_THAT(told, ::testing::ElementsAre(std::pair(4, 9), std::pair(8, 9)));
  EXPECT_EQ(result->tokens, 6) << "3 in each of two windows, none in the last";
  EXPECT_EQ(a.longest, 4u);
}

TEST(Compare, WhatCannotBeComparedIsRefused) {
  TableEngine two({Row({0.7, 0.3}), Row({0.2, 0.8})}), three({Row({0.5, 0.25, 0.25})});
  const std::vector<int32_t> tokens{0, 1, 0};
  EXPECT_ERROR(Compare(two, three, tokens, {}), kInvalidArgument, "2 and 3 tokens");
  EXPECT_ERROR(Compare(two, two, std::vector<int32_t>{0}, {}), kInvalidArgument, "at least 2");
  EXPECT_ERROR(Compare(two, two, std::vector<int32_t>{0, 2}, {}), kInvalidArgument, "vocabulary");
  EXPECT_ERROR(Compare(two, two, std::vector<int32_t>(200, 0), {.window = 101}), kInvalidArgument,
               "context of 100");
  TableEngine nan({{NAN, 0}, {0, 0}});
  EXPECT_ERROR(Compare(two, nan, tokens, {}), kDataLoss, "damaged");
  std::stop_source stop;
  stop.request_stop();
  EXPECT_ERROR(Compare(two, two, tokens, {.stop = stop.get_token()}), kCancelled, "stopped");
}

TEST(Golden, AnswersAreAskedTokenByToken) {
  TableEngine made({Row({0.1, 0.9}), Row({0.8, 0.2})});
  const auto golden = MakeGolden(made, "00", 4);
  ASSERT_OK(golden);
  EXPECT_EQ(golden->prompt, (std::vector<int32_t>{0, 0}));
  EXPECT_EQ(golden->answer, (std::vector<int32_t>{1, 0, 1, 0}));
  EXPECT_EQ(*GoldenAgreement(made, std::span(&*golden, 1)), 1.0);
  TableEngine other({Row({0.1, 0.9}), Row({0.2, 0.8})});  // after 1 it says 1
  EXPECT_EQ(*GoldenAgreement(other, std::span(&*golden, 1)), 0.5);
  EXPECT_EQ(*GoldenAgreement(other, {}), 1.0) << "nothing was asked";
  TableEngine nan({{0, NAN}, {0, 0}});
  EXPECT_ERROR(GoldenAgreement(nan, std::span(&*golden, 1)), kDataLoss, "damaged");
}

TEST(Golden, PromptsWithControlTokensAreRefused) {
  TableEngine made({Row({0.1, 0.9}), Row({0.8, 0.2})});
  made.hidden_tokens = -1;  // a generation reads two characters as one token
  EXPECT_ERROR(MakeGolden(made, "00", 4), kInvalidArgument, "control token");
  EXPECT_ERROR(MakeGolden(made, "", 4), kInvalidArgument, "no tokens");
}

}  // namespace
}  // namespace quantfleet::engine
