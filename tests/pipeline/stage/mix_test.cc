// What mixes are chosen from: errors of rows, the types and bytes that formats say, and budgets.
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "pipeline/format/registry/open_model.h"
#include "pipeline/stage/mix_fit.h"
#include "pipeline/tensor/codec.h"
#include "tests/pipeline/stage/made_moments.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tiny_model.h"

namespace quantfleet::pipeline {
namespace {

using ::quantfleet::testing::StatusOf;
using ::quantfleet::testing::TempDir;
using ::quantfleet::testing::TinyModelOptions;
using ::quantfleet::testing::WriteTinyModel;

constexpr const char* kFormats[] = {"gguf", "mlx", "onnx", "openvino"};

// Of every input the same moments: 3 on the diagonal and 1 beside it, in units that importance
// has too.
class TestMoments final : public MadeMoments {
 public:
  int64_t InputOf(size_t) const override { return 0; }
  float At(int64_t, int64_t row, int64_t column) const override { return Value(row, column); }
  static float Value(int64_t row, int64_t column) {
    const int64_t apart = std::abs(row - column);
    return apart == 0 ? 300.f : apart == 1 ? 100.f : 0.f;
  }
};

class MixTest : public ::testing::Test {
 protected:
  void Open(std::string_view family, TinyModelOptions options) {
    WriteTinyModel(dir_.path(), family, options);
    source_ = std::move(*OpenModel(RealFileSystem(), dir_.path()));
  }
  const ModelDescription& model() const { return source_->description(); }
  size_t PieceOf(Role role, int layer) const {
    return static_cast<size_t>(model().Find(role, layer) - model().pieces.data());
  }
  // Errors as if inputs were all alike.
  PieceErrors Errors(const MixTable& table, int threads = 1) {
    RowRounding rounding(model(), {}, Rounding::kNearest, 1);
    return *MeasureErrors(*source_, table, DType::kQ4_0, rounding,
                          {.threads = threads, .rows = 32});
  }

  TempDir dir_;
  std::unique_ptr<ModelSource> source_;
};

TEST_F(MixTest, AnErrorIsThatOfTheProducts) {
  Open("llama", {.hidden = 128, .intermediate = 256, .layers = 1});
  const size_t piece = PieceOf(Role::kFfnDown, 0);
  const auto sample = SampleRows(*source_, piece, 40);
  ASSERT_OK(sample);
  const int64_t cols = sample->cols;
  const auto moments = std::make_shared<TestMoments>();
  Importance importance{.digest = {},
                        .columns = {model().pieces.size(), std::vector<float>(256, 3.f)}};
  const auto columns = std::make_shared<const Importance>(importance);
  RowRounding rounding(model(), {.importance = columns, .moments = moments}, Rounding::kFeedback,
                       1);
  const DType types[] = {DType::kQ4_0, DType::kQ5_0, DType::kQ8_0};
  const auto errors = rounding.ErrorsOf(piece, *sample, types);
  ASSERT_OK(errors);
  for (size_t t = 0; t < std::size(types); ++t) {
    std::vector<float> rounded = sample->values;
    ASSERT_OK(rounding.Round(piece, types[t], rounded));
    double expected = 0;
    for (int64_t r = 0; r < sample->rows; ++r)
      for (int64_t i = 0; i < cols; ++i)
        for (int64_t j = std::max<int64_t>(0, i - 1); j < std::min(cols, i + 2); ++j) {
          const auto of = [&](int64_t c) {
            return static_cast<double>(rounded[r * cols + c]) -
                   static_cast<double>(sample->values[r * cols + c]);
          };
          // Per token: 300 tokens' moments; damped by a fiftieth.
          expected += of(i) * of(j) * TestMoments::Value(i, j) / 100 * (i == j ? 1.02 : 1);
        }
    expected *= static_cast<double>(sample->of) / static_cast<double>(sample->rows);
    EXPECT_NEAR((*errors)[t] / expected, 1, 1e-3) << Info(types[t]).name;
  }
  EXPECT_GT((*errors)[0], (*errors)[1]);
  EXPECT_GT((*errors)[1], (*errors)[2]);

  // Without moments of the piece importance alone counts, without that each column alike.
  RowRounding weighed(model(), {.importance = columns}, Rounding::kNearest, 1),
      plain(model(), {}, Rounding::kNearest, 1);
  const auto by_columns = weighed.ErrorsOf(piece, *sample, std::span(types).last(1)),
             alike = plain.ErrorsOf(piece, *sample, std::span(types).last(1));
  ASSERT_OK(by_columns);
  ASSERT_OK(alike);
  EXPECT_NEAR((*by_columns)[0] / (*alike)[0], 3, 1e-6);
}

TEST_F(MixTest, AnErrorOfASampleIsNearlyThatOfAllRows) {
  Open("llama", {.hidden = 128, .intermediate = 512, .layers = 1});
  RowRounding rounding(model(), {}, Rounding::kNearest, 1);
  const DType types[] = {DType::kQ4_0, DType::kQ5_0};
  const size_t piece = PieceOf(Role::kFfnUp, 0);
  const auto all = rounding.ErrorsOf(piece, *SampleRows(*source_, piece, 512), types),
             some = rounding.ErrorsOf(piece, *SampleRows(*source_, piece, 64), types);
  for (size_t t = 0; t < std::size(types); ++t) EXPECT_NEAR((*some)[t] / (*all)[t], 1, 0.2);
}

TEST_F(MixTest, ThreadsChangeNoError) {
  Open("llama", {.hidden = 128, .intermediate = 256, .layers = 2});
  const auto table = MakeMixTable(*source_, "gguf", true);
  ASSERT_OK(table);
  EXPECT_EQ(Errors(*table, 1), Errors(*table, 3));
}

TEST_F(MixTest, FormatsSayWhichTypesTheirTensorsCanHave) {
  // 96 columns: neither super-blocks nor groups of 64.
  Open("phi3", {.hidden = 96, .intermediate = 128, .layers = 1, .heads = 3, .kv_heads = 3});
  for (const char* format : kFormats) {
    const auto table = MakeMixTable(*source_, format, true);
    ASSERT_OK(table);
    bool fused = false;
    for (size_t t = 0; t < table->tensors.size(); ++t) {
      const MixTensor& tensor = table->tensors[t];
      EXPECT_GT(tensor.choices.size(), 1u) << tensor.name;
      ASSERT_FALSE(table->pieces[t].empty()) << tensor.name;
      fused = fused || table->pieces[t].size() > 1;
      const int64_t cols = model().pieces[table->pieces[t].front()].cols;
      for (const MixChoice& choice : tensor.choices) {
        EXPECT_TRUE(Divides(choice.type, cols)) << format << " " << tensor.name;
        EXPECT_GT(choice.bytes, 0u);
      }
    }
    EXPECT_TRUE(fused || format != kFormats[0]) << "phi3's q, k and v are one tensor in a GGUF";
  }
}

TEST_F(MixTest, ArtifactsKeepWithinTheBudget) {
  for (const bool tied : {false, true}) {
    Open("llama", {.hidden = 128, .intermediate = 256, .layers = 4, .tied = tied});
    for (const char* format : kFormats) {
      auto table = MakeMixTable(*source_, format, true);
      ASSERT_OK(table);
      std::vector<double> weights(model().pieces.size());
      std::iota(weights.begin(), weights.end(), 1);
      FillHarms(Errors(*table), weights, *table);
      const auto all = FitMix(*source_, *table, "fit", true, {.bytes = uint64_t{1} << 30});
      ASSERT_OK(all);
      double before = 1e300;
      for (int part = 5; part <= 10; ++part) {
        const uint64_t budget = all->bytes * static_cast<uint64_t>(part) / 10;
        const auto fitted = FitMix(*source_, *table, "fit", true, {.bytes = budget});
        if (absl::IsResourceExhausted(fitted.status())) continue;
        ASSERT_OK(fitted);
        EXPECT_LE(fitted->bytes, budget);
        EXPECT_GT(fitted->bytes, budget * 9 / 10) << format;
        EXPECT_LE(fitted->mix.harm, before);
        before = fitted->mix.harm;
      }
      EXPECT_EQ(before, all->mix.harm);
    }
  }
}

TEST_F(MixTest, RefusesABudgetBelowTheSmallestAndNamesThat) {
  Open("llama", {.hidden = 128, .intermediate = 256, .layers = 2});
  for (const char* format : kFormats) {
    const auto table = MakeMixTable(*source_, format, true);
    ASSERT_OK(table);
    // Of no harm at all the smallest is the best.
    const auto least = FitMix(*source_, *table, "fit", true, {.bytes = uint64_t{1} << 30});
    ASSERT_OK(least);
    const auto again = FitMix(*source_, *table, "fit", true, {.bytes = least->bytes});
    ASSERT_OK(again);
    EXPECT_EQ(again->bytes, least->bytes);
    EXPECT_ERROR(FitMix(*source_, *table, "fit", true, {.bytes = least->bytes - 1}),
                 kResourceExhausted, fmt::format("{}", least->bytes));
  }
}

TEST_F(MixTest, ABudgetMayBeADevicesMemory) {
  Open("llama", {.hidden = 128, .intermediate = 256, .layers = 2});
  auto table = MakeMixTable(*source_, "gguf", true);
  ASSERT_OK(table);
  FillHarms(Errors(*table), std::vector<double>(model().pieces.size(), 1), *table);
  const auto need = [&](const FittedMix& fitted, uint64_t context) {
    TargetSpec spec{.format = "gguf", .recipe = "fit"};
    spec.own = fitted.recipe;
    return RunsOf(*MakePlan(*source_, {spec}), {.context = context})->front().need.total();
  };
  const auto all = FitMix(*source_, *table, "fit", true, {.bytes = uint64_t{1} << 30});
  ASSERT_OK(all);
  const MixBudget budget{.run = {.context = 64, .device_bytes = need(*all, 64) - 100'000}};
  const auto fitted = FitMix(*source_, *table, "fit", true, budget);
  ASSERT_OK(fitted);
  EXPECT_LE(need(*fitted, 64), budget.run.device_bytes);
  EXPECT_GT(need(*fitted, 64), budget.run.device_bytes - 20'000);
  MixBudget longer = budget;
  longer.run.context = 128;
  const auto less = FitMix(*source_, *table, "fit", true, longer);
  ASSERT_OK(less);
  EXPECT_LE(need(*less, 128), budget.run.device_bytes);
  EXPECT_LT(less->bytes, fitted->bytes);
}

TEST_F(MixTest, TheNamedRecipeIsTheLargestWithin) {
  Open("llama", {.hidden = 256, .intermediate = 256, .layers = 2});
  const auto bytes = [&](const TargetSpec& spec) {
    return TargetBytes(PlanSizes(*source_, spec, true)->targets[0]);
  };
  for (const char* format : kFormats) {
    const std::string small = std::string_view(format) == "gguf" ? "q4_k_m" : "int4-g64";
    const uint64_t budget = bytes({format, small});
    const auto named = NearestNamed(*source_, format, true, {.bytes = budget});
    ASSERT_OK(named);
    ASSERT_TRUE(*named);
    EXPECT_EQ(bytes(**named), budget) << (*named)->recipe;
    const auto none = NearestNamed(*source_, format, true, {.bytes = 1000});
    ASSERT_OK(none);
    EXPECT_FALSE(*none);
  }
}

}  // namespace
}  // namespace quantfleet::pipeline
