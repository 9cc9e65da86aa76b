// Numbers that move between weights: on their way through a plan, and how they are chosen.
#include "pipeline/stage/fold.h"

#include <gtest/gtest.h>

#include <cmath>

#include "pipeline/format/registry/open_model.h"
#include "pipeline/stage/choose_fold.h"
#include "tests/pipeline/stage/made_moments.h"
#include "tests/pipeline/stage/stage_fixture.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tiny_model.h"

namespace quantfleet::pipeline {
namespace {

using ::quantfleet::testing::TempDir;
using ::quantfleet::testing::TinyModelOptions;
using ::quantfleet::testing::WriteTinyModel;
using ::testing::Contains;

// Every pair of columns of every input goes together a little.
class EvenMoments final : public MadeMoments {
 public:
  explicit EvenMoments(const ModelDescription& model) : model_(model) {}
  int64_t InputOf(size_t piece) const override {
    const Piece& p = model_.pieces[piece];
    if (p.dims == 1 || p.layer < 0) return -1;
    // q, k and v have one in common.
    const bool shared = p.role == Role::kAttnK || p.role == Role::kAttnV;
    return p.layer * 100 + static_cast<int64_t>(shared ? Role::kAttnQ : p.role);
  }
  float At(int64_t, int64_t row, int64_t column) const override {
    return column == row ? (row % 32 == 5 ? 400.f : 1.f) : 0.1f;
  }

 private:
  const ModelDescription& model_;
};

class FoldTest : public ::testing::Test {
 protected:
  void Open(std::string_view family, const TinyModelOptions& options = {}) {
    WriteTinyModel(dir_.path(), family, options);
    source_ = std::move(*OpenModel(RealFileSystem(), dir_.path()));
  }
  const ModelDescription& model() const { return source_->description(); }

  // Any scales, at all sites.
  std::shared_ptr<const Fold> AnyFold() const {
    const std::vector<FoldSite> sites = FoldSitesOf(model());
    std::vector<std::vector<float>> scales;
    for (const FoldSite& site : sites) {
      scales.emplace_back();
      for (int64_t i = 0; i < site.width; ++i)
        scales.back().push_back(0.25f + static_cast<float>((i * 7 + site.layer) % 13) * 0.3f);
    }
    return std::make_shared<const Fold>(FoldBy(model(), sites, scales));
  }

  // One column of 32 has inputs twenty times as large.
  Calibration Uneven(std::shared_ptr<const SecondMoments> moments = nullptr) const {
    Importance importance{.digest = HashText("importance"), .columns = {}};
    for (const Piece& piece : model().pieces) {
      std::vector<float>& columns = importance.columns.emplace_back();
      if (piece.dims == 1 || piece.layer < 0) continue;
      for (int64_t c = 0; c < piece.cols; ++c) columns.push_back(c % 32 == 5 ? 400.f : 1.f);
    }
    return {std::make_shared<const Importance>(std::move(importance)), std::move(moments)};
  }

  ExecutorResult Run(const Plan& plan) {
    sink_ = std::make_unique<MemorySink>(plan);
    auto result = Execute(*source_, plan, *sink_, {.threads = 2});
    EXPECT_OK(result);
    return result.ok() ? *std::move(result) : ExecutorResult();
  }

  // What a place of a target holds.
  std::vector<float> Values(size_t target, const PlacedPiece& placed) const {
    const Piece& piece = model().pieces[placed.piece];
    std::vector<float> values(static_cast<size_t>(piece.rows * piece.cols));
    FindCodec(placed.dtype)
        ->decode(sink_->File(target, placed.file).data() + placed.offset, std::ssize(values),
                 values.data());
    return values;
  }

  TempDir dir_;
  std::unique_ptr<ModelSource> source_;
  std::unique_ptr<MemorySink> sink_;
};

// Files of their own for weights in F32 and in halves, which the source has too.
TEST_F(FoldTest, EveryPlaceHasItsValuesTimesTheFactors) {
  for (const char* family : {"llama", "phi2", "qwen3moe", "gemma3"}) {
    SCOPED_TRACE(family);
    Open(family, {.dtype = DType::kF16});
    const std::vector<TargetSpec> targets = {{"gguf", "f32"}, {"gguf", "f16"}, {"mlx", "f16"}};
    Plan plan = *MakePlan(*source_, targets);
    Run(plan);
    std::vector<std::vector<std::vector<float>>> before(targets.size());
    for (size_t t = 0; t < targets.size(); ++t)
      for (const PlacedPiece& placed : plan.targets[t].layout.pieces)
        before[t].push_back(Values(t, placed));
    plan.fold = AnyFold();
    Run(plan);
    for (size_t t = 0; t < targets.size(); ++t) {
      for (size_t p = 0; p < before[t].size(); ++p) {
        const PlacedPiece& placed = plan.targets[t].layout.pieces[p];
        const Fold::OfPiece& factors = FactorsOf(plan.fold.get(), placed.piece);
        std::vector<float> wanted = before[t][p];
        const Piece& piece = model().pieces[placed.piece];
        const bool vector = piece.dims == 1;
        // A file that leaves out 1 of a norm has less of its digits.
        for (float& value : wanted) value += placed.lacks;
        if (factors)
          ApplyFold(factors, 0, 0, vector ? piece.cols : piece.rows, vector ? 1 : piece.cols,
                    wanted.data());
        for (float& value : wanted) value -= placed.lacks;
        const std::vector<float> found = Values(t, placed);
        const float within = placed.dtype == DType::kF32 ? 2e-6f : 2e-3f;
        for (size_t i = 0; i < wanted.size(); ++i)
          ASSERT_NEAR(found[i], wanted[i], within * std::max(std::abs(wanted[i]), 1e-2f))
              << placed.tensor << " " << i;
      }
    }
    fs::remove_all(dir_.path());
    fs::create_directories(dir_.path());
  }
}

TEST_F(FoldTest, TheSourceKeepsItsDigestAndTheManifestSaysWhatMoved) {
  Open("llama");
  Plan plan = *MakePlan(*source_, {{"gguf", "q4_0"}});
  const Digest plain_plan = PlanDigest(plan);
  const ExecutorResult plain = Run(plan);
  plan.fold = AnyFold();
  EXPECT_NE(PlanDigest(plan), plain_plan);
  const ExecutorResult folded = Run(plan);
  EXPECT_EQ(folded.source_digest, plain.source_digest);
  EXPECT_THAT(folded.manifests[0].target().changes(), Contains("fold=" + plan.fold->digest.hex()));
  EXPECT_OK(ParseManifest(SerializeManifest(folded.manifests[0])));
  EXPECT_EQ(folded.manifests[0].files(0).size(), plain.manifests[0].files(0).size());
}

// Two rows of three: rows by 2 and 4, columns by 1, 10 and 100.
TEST(ApplyFold, MultipliesRowsAndColumnsOfWhatIsComputedWith) {
  const auto share = [](std::vector<float> v) {
    return std::make_shared<const std::vector<float>>(std::move(v));
  };
  std::vector<float> values = {1, 2, 3, 4, 5, 6};
  ApplyFold({share({7, 2, 4}), share({1, 10, 100})}, 0, 1, 2, 3, values.data());
  EXPECT_THAT(values, ::testing::ElementsAre(2, 40, 600, 16, 200, 2400));
  std::vector<float> norm = {0.5f, -0.5f};  // 1 less than they count
  ApplyFold({share({2, 4}), nullptr}, 1, 0, 2, 1, norm.data());
  EXPECT_THAT(norm, ::testing::ElementsAre(2, 1));
}

TEST_F(FoldTest, WhatWasMeasuredIsThatOfTheFoldedModel) {
  Open("llama");
  const auto fold = AnyFold();
  const Calibration calibration = Uneven(std::make_shared<EvenMoments>(model()));
  const Importance* before = calibration.importance.get();
  const SecondMoments* moments = calibration.moments.get();
  const auto folded = Folded(calibration, *fold);
  ASSERT_OK(folded);
  for (uint32_t i = 0; i < model().pieces.size(); ++i) {
    const float* means = before->Of(i);
    if (means == nullptr) continue;
    const std::vector<float>& factors = *FactorsOf(fold.get(), i).columns;
    const int64_t input = moments->InputOf(i), last = model().pieces[i].cols - 1;
    std::vector<float> row(3), raw(3);
    const auto at = static_cast<uint64_t>(last * (last + 1) / 2);
    ASSERT_OK(folded->moments->Read(input, at, row));
    ASSERT_OK(moments->Read(input, at, raw));
    for (size_t c = 0; c < 3; ++c) {
      EXPECT_FLOAT_EQ(folded->importance->Of(i)[c], means[c] / (factors[c] * factors[c]));
      EXPECT_FLOAT_EQ(row[c], raw[c] / (factors[c] * factors[static_cast<size_t>(last)]));
    }
  }
  EXPECT_EQ(folded->importance->digest, before->digest);
}

// Of rows that Q4_0 holds, weighed by their inputs, before and after.
TEST_F(FoldTest, ErrorsAreSmallerWhereInputsAreUneven) {
  Open("llama", {.hidden = 128, .intermediate = 256});
  const Calibration calibration = Uneven();
  const Importance* importance = calibration.importance.get();
  const auto error_of = [&](std::shared_ptr<const Fold> fold) {
    std::vector<TargetSpec> targets = {{"gguf", "q4_0"}, {"gguf", "f32"}};
    targets[0].rounding = Rounding::kSearch;
    for (TargetSpec& spec : targets) spec.calibrated = true;
    Plan plan = *MakePlan(*source_, targets, fold ? *Folded(calibration, *fold) : calibration);
    plan.fold = fold;
    Run(plan);
    double error = 0;
    for (size_t p = 0; p < plan.targets[0].layout.pieces.size(); ++p) {
      const PlacedPiece& coded = plan.targets[0].layout.pieces[p];
      if (coded.dtype != DType::kQ4_0 || importance->Of(coded.piece) == nullptr) continue;
      const auto exact =
          std::ranges::find(plan.targets[1].layout.pieces, coded.piece, &PlacedPiece::piece);
      const std::vector<float> a = Values(0, coded), b = Values(1, *exact);
      const auto cols = static_cast<size_t>(model().pieces[coded.piece].cols);
      const Fold::Factors& rows = FactorsOf(fold.get(), coded.piece).rows;
      for (size_t i = 0; i < a.size(); ++i) {
        const double off = (a[i] - b[i]) / (rows ? (*rows)[i / cols] : 1.f);
        error += plan.calibration.importance->Of(coded.piece)[i % cols] * off * off;
      }
    }
    return error;
  };
  const auto fold = ChooseFold(*source_, calibration, {});
  ASSERT_OK(fold);
  EXPECT_EQ((*fold)->sites, 8u);
  EXPECT_GT((*fold)->folded, 4u);
  EXPECT_LT(error_of(*fold), 0.8 * error_of(nullptr));
}

TEST_F(FoldTest, ThreadsAndMemoryChangeNothing) {
  Open("llama", {.hidden = 128, .intermediate = 256});
  for (const Calibration& with : {Uneven(), Uneven(std::make_shared<EvenMoments>(model()))}) {
    const auto first = ChooseFold(*source_, with, {.threads = 1});
    ASSERT_OK(first);
    EXPECT_GT((*first)->folded, 0u);
    for (const int threads : {2, 5}) {
      const auto again =
          ChooseFold(*source_, with, {.threads = threads, .memory_bytes = uint64_t{6} << 20});
      ASSERT_OK(again);
      EXPECT_EQ((*again)->digest, (*first)->digest);
    }
  }
}

TEST_F(FoldTest, ExpertsAreFoldedTogetherAndEachByItself) {
  Open("qwen3moe", {.hidden = 128});
  const auto fold = ChooseFold(*source_, Uneven(), {});
  ASSERT_OK(fold);
  const auto of = [&](Role role, int expert) {
    for (size_t i = 0; i < model().pieces.size(); ++i)
      if (model().pieces[i].role == role && model().pieces[i].expert == expert)
        return (*fold)->pieces[i];
    return Fold::OfPiece();
  };
  ASSERT_NE(of(Role::kFfnRouter, -1).columns, nullptr);
  EXPECT_EQ(of(Role::kFfnUpExpert, 0).columns, of(Role::kFfnRouter, -1).columns);
  EXPECT_EQ(of(Role::kFfnGateExpert, 5).columns, of(Role::kFfnRouter, -1).columns);
  ASSERT_NE(of(Role::kFfnDownExpert, 0).columns, nullptr);
  EXPECT_NE(of(Role::kFfnDownExpert, 0).columns, of(Role::kFfnDownExpert, 1).columns);
}

TEST_F(FoldTest, NothingMovesWhereInputsAreAlikeOrUnknown) {
  Open("llama");
  const auto folded = [&](std::vector<float> (*columns)(size_t)) {
    Importance importance = *Uneven().importance;
    for (std::vector<float>& of : importance.columns)
      if (!of.empty()) of = columns(of.size());
    const auto fold =
        ChooseFold(*source_, {std::make_shared<const Importance>(std::move(importance))}, {});
    EXPECT_OK(fold);
    return (*fold)->folded;
  };
  EXPECT_EQ(folded([](size_t n) { return std::vector<float>(n, 3.f); }), 0u);
  EXPECT_EQ(folded([](size_t n) { return std::vector<float>(n, 0.f); }), 0u);
  EXPECT_EQ(folded([](size_t) { return std::vector<float>(); }), 0u);
}

// Multiplying codes would round them twice.
TEST_F(FoldTest, WhatTheSourceHasAsCodesStays) {
  testing::MemorySource source;
  source.model.family = FindFamily("llama");
  source.model.hyper = {.hidden = 64, .layers = 1, .heads = 1, .kv_heads = 1, .head_dim = 64};
  source.Add(Role::kAttnNorm, DType::kF32, 1, 64, 1);
  source.Add(Role::kAttnQ, DType::kQ8_0, 64, 64);
  source.Add(Role::kAttnV, DType::kF16, 64, 64);
  source.Add(Role::kAttnOutput, DType::kF16, 64, 64);
  Importance importance;
  for (const Piece& piece : source.model.pieces) {
    importance.columns.emplace_back();
    for (int64_t c = 0; piece.dims == 2 && c < piece.cols; ++c)
      importance.columns.back().push_back(c % 32 == 5 ? 400.f : 1.f);
  }
  const auto fold =
      ChooseFold(source, {std::make_shared<const Importance>(std::move(importance))}, {});
  ASSERT_OK(fold);
  EXPECT_FALSE((*fold)->pieces[0]) << "q reads it";
  EXPECT_TRUE((*fold)->pieces[3]);
}

TEST_F(FoldTest, StopsAndSaysWhatIsTooLittle) {
  Open("llama");
  std::stop_source stop;
  stop.request_stop();
  EXPECT_ERROR(ChooseFold(*source_, Uneven(), {.stop = stop.get_token()}), kCancelled, "stopped");
  EXPECT_ERROR(ChooseFold(*source_, Uneven(), {.memory_bytes = 1000}), kResourceExhausted,
               "memory");
}

}  // namespace
}  // namespace quantfleet::pipeline
