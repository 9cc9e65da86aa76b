// Rounding by search and by feedback on its way through a plan.
#include <gtest/gtest.h>

#include <condition_variable>
#include <limits>
#include <map>
#include <set>
#include <thread>

#include "pipeline/format/registry/open_model.h"
#include "pipeline/stage/column_factors.h"
#include "tests/pipeline/stage/made_moments.h"
#include "tests/pipeline/stage/stage_fixture.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tiny_model.h"

namespace quantfleet::pipeline {
namespace {

using ::quantfleet::testing::TempDir;
using ::quantfleet::testing::WriteTinyModel;

// Neighbouring columns of every input go together.
class FakeMoments : public MadeMoments {
 public:
  explicit FakeMoments(const ModelDescription& model) {
    for (const Piece& piece : model.pieces) {
      const bool shared = piece.role == Role::kAttnK || piece.role == Role::kAttnV;
      const std::string name =
          fmt::format("{}.{}", Name(shared ? Role::kAttnQ : piece.role), piece.layer);
      const bool left_out = piece.dims == 1 || piece.layer < 0;
      const auto number = static_cast<int64_t>(names_.size());
      const auto [it, is_new] = numbers_.emplace(name, number);
      if (is_new) names_.push_back(name);
      inputs_.push_back(left_out ? -1 : it->second);
    }
  }
  int64_t InputOf(size_t piece) const override { return inputs_[piece]; }
  const std::string& NameOf(int64_t input) const override {
    return names_[static_cast<size_t>(input)];
  }
  absl::Status Read(int64_t input, uint64_t first, std::span<float> out) const override {
    ++reads;
    return MadeMoments::Read(input, first, out);
  }
  float At(int64_t input, int64_t row, int64_t column) const override {
    const int64_t apart = row - column;
    return apart == 0   ? 10.f + static_cast<float>((row * 7 + input) % 5)
           : apart == 1 ? beside_diagonal
                        : 0.f;
  }
  float beside_diagonal = 4.f;
  mutable std::atomic<int> reads{0};

 private:
  std::map<std::string, int64_t> numbers_;
  std::vector<std::string> names_;
  std::vector<int64_t> inputs_;
};

class RoundingTest : public ::testing::Test {
 protected:
  RoundingTest() {
    WriteTinyModel(dir_.path(), "llama", {.hidden = 128, .intermediate = 256, .layers = 2});
    source_ = std::move(*OpenModel(RealFileSystem(), dir_.path()));
    moments_ = std::make_shared<FakeMoments>(source_->description());
    Importance importance{.digest = HashText("importance"), .columns = {}};
    for (const Piece& piece : source_->description().pieces) {
      std::vector<float>& columns = importance.columns.emplace_back();
      if (piece.dims == 1 || piece.layer < 0) continue;
      for (int64_t c = 0; c < piece.cols; ++c)
        columns.push_back(static_cast<float>(1 + c * 37 % 11));
    }
    importance_ = std::make_shared<const Importance>(std::move(importance));
  }
  Plan PlanOf(Rounding how, std::vector<TargetSpec> specs) const {
    for (TargetSpec& spec : specs) spec.rounding = how, spec.calibrated = true;
    return PlanOf(specs);
  }
  Plan PlanOf(const std::vector<TargetSpec>& specs) const {
    return *MakePlan(*source_, specs, {importance_, moments_});
  }
  absl::StatusOr<ExecutorResult> RunPlan(const Plan& plan, ExecutorOptions options = {}) {
    sink_ = std::make_unique<MemorySink>(plan);
    return Execute(*source_, plan, *sink_, options);
  }
  static std::vector<std::string> Digests(const ExecutorResult& result) {
    std::vector<std::string> digests;
    for (const v1::Manifest& m : result.manifests) digests.push_back(ManifestDigest(m).hex());
    return digests;
  }

  TempDir dir_;
  std::unique_ptr<ModelSource> source_;
  std::shared_ptr<FakeMoments> moments_;
  std::shared_ptr<const Importance> importance_;
  std::unique_ptr<MemorySink> sink_;
};

const std::vector<TargetSpec> kTargets = {{"gguf", "q4_0"},
                                          {"gguf", "q4_k_m"},
                                          {"onnx", "int4-g64-asym"},
                                          {"mlx", "int4-g64-asym"},
                                          {"openvino", "int4-g128"}};

TEST_F(RoundingTest, ThreadsAndMemoryChangeNothing) {
  for (const Rounding how : {Rounding::kSearch, Rounding::kFeedback}) {
    const Plan plan = PlanOf(how, kTargets);
    const auto first = RunPlan(plan, {.threads = 1});
    ASSERT_OK(first);
    for (const int threads : {2, 7}) {
      const auto again = RunPlan(plan, {.threads = threads, .memory_bytes = uint64_t{24} << 20});
      ASSERT_OK(again);
      EXPECT_EQ(Digests(*again), Digests(*first));
      EXPECT_EQ(again->notes, first->notes);
    }
  }
}

TEST_F(RoundingTest, EachWayHasItsOwnBytesAndSaysSo) {
  std::map<std::string, Rounding> seen;
  for (const Rounding how : {Rounding::kNearest, Rounding::kSearch, Rounding::kFeedback}) {
    const Plan plan = PlanOf(how, {{"gguf", "q4_0"}});
    const auto result = RunPlan(plan);
    ASSERT_OK(result);
    EXPECT_TRUE(
        seen.emplace(HashBytes(sink_->File(0, plan.targets[0].layout.pieces[0].file)).hex(), how)
            .second);
    const v1::Target& target = result->manifests[0].target();
    EXPECT_OK(ParseManifest(SerializeManifest(result->manifests[0])));
    std::vector<std::string> changes;
    if (how != Rounding::kNearest) changes.push_back(fmt::format("rounding={}", Name(how)));
    if (how == Rounding::kFeedback) changes.push_back("second-moments=" + moments_->digest().hex());
    EXPECT_THAT(target.changes(), ::testing::ElementsAreArray(changes));
  }
  EXPECT_NE(PlanDigest(PlanOf(Rounding::kSearch, kTargets)),
            PlanDigest(PlanOf(Rounding::kNearest, kTargets)));
  EXPECT_NE(PlanDigest(PlanOf(Rounding::kSearch, kTargets)),
            PlanDigest(PlanOf(Rounding::kFeedback, kTargets)));
}

// q4_0 in four formats is encoded once.
TEST_F(RoundingTest, OneSetOfCodesFeedsAllFormats) {
  const std::vector<TargetSpec> four = {
      {"gguf", "q4_0"}, {"onnx", "int4"}, {"mlx", "int4"}, {"openvino", "int4"}};
  const auto together = RunPlan(PlanOf(Rounding::kFeedback, four));
  ASSERT_OK(together);
  const std::vector<std::string> digests = Digests(*together);
  for (size_t t = 0; t < four.size(); ++t) {
    const auto alone = RunPlan(PlanOf(Rounding::kFeedback, {four[t]}));
    ASSERT_OK(alone);
    EXPECT_EQ(Digests(*alone)[0], digests[t]);
  }
}

// Each target as if it were alone: a plain one among them has its plain bytes.
TEST_F(RoundingTest, TargetsOfOnePassAreRoundedEachInItsOwnWay) {
  const TargetSpec plain_q8{"gguf", "q8_0"}, plain_q4{"gguf", "q4_0"},
      fed_back{
          .format = "gguf", .recipe = "q4_0", .rounding = Rounding::kFeedback, .calibrated = true},
      fed_back_mlx{
          .format = "mlx", .recipe = "int4", .rounding = Rounding::kFeedback, .calibrated = true},
      searched{
          .format = "gguf", .recipe = "q4_0", .rounding = Rounding::kSearch, .calibrated = true};
  const std::vector<TargetSpec> specs = {plain_q8, fed_back, plain_q4, fed_back_mlx, searched};
  const auto together = RunPlan(PlanOf(specs), {.threads = 2});
  ASSERT_OK(together);
  uint64_t encoded = 0;
  for (size_t t = 0; t < specs.size(); ++t) {
    const auto alone = RunPlan(PlanOf({specs[t]}));
    ASSERT_OK(alone);
    EXPECT_EQ(Digests(*alone)[0], Digests(*together)[t]) << t;
    if (&specs[t] != &specs[3]) encoded += alone->progress.values_encoded;
  }
  EXPECT_LT(together->progress.values_encoded, encoded) << "what is rounded alike is encoded once";
  const auto plain = MakePlan(*source_, {plain_q8, plain_q4});
  ASSERT_OK(plain);
  const auto without = RunPlan(*plain);
  ASSERT_OK(without);
  EXPECT_EQ(Digests(*without)[0], Digests(*together)[0]);
  EXPECT_EQ(Digests(*without)[1], Digests(*together)[2]);
}

TEST_F(RoundingTest, ATargetThatNeedsMoreThanWasMeasuredIsRefused) {
  TargetSpec spec{"gguf", "q4_0"};
  spec.calibrated = true;
  EXPECT_ERROR(MakePlan(*source_, {spec}), kInvalidArgument, "importance");
  spec.rounding = Rounding::kFeedback;
  EXPECT_ERROR(MakePlan(*source_, {spec}, {importance_}), kInvalidArgument, "second moments");
  spec.calibrated = false;
  spec.rounding = Rounding::kSearch;
  EXPECT_ERROR(MakePlan(*source_, {spec}, {importance_}), kInvalidArgument, "importance");
}

// llama-quantize does not know the head's importance, and what bears its recipes' names stays its.
TEST_F(RoundingTest, TheHeadsImportanceCountsForSearchAlone) {
  const std::vector<Piece>& pieces = source_->description().pieces;
  const auto digests_with = [&](Rounding how, const std::shared_ptr<const Importance>& importance) {
    const TargetSpec spec{.format = "gguf", .recipe = "q4_0", .rounding = how, .calibrated = true};
    const auto made = RunPlan(*MakePlan(*source_, {spec}, {importance}));
    EXPECT_OK(made);
    return Digests(*made);
  };
  Importance with = *importance_;
  for (size_t i = 0; i < pieces.size(); ++i) {
    if (!IsHead(source_->description(), pieces[i])) continue;
    for (int64_t c = 0; c < pieces[i].cols; ++c)
      with.stand_ins[i].push_back(static_cast<float>(1 + c * 37 % 11));
  }
  const auto of_both = std::make_shared<const Importance>(std::move(with));
  EXPECT_EQ(digests_with(Rounding::kNearest, of_both),
            digests_with(Rounding::kNearest, importance_));
  EXPECT_NE(digests_with(Rounding::kSearch, of_both), digests_with(Rounding::kSearch, importance_));
}

TEST_F(RoundingTest, WhatCannotBeFedBackIsSearchedAndNamed) {
  moments_->beside_diagonal = 400.f;
  const auto result = RunPlan(PlanOf(Rounding::kFeedback, {{"gguf", "q4_0"}}), {.threads = 2});
  ASSERT_OK(result);
  ASSERT_FALSE(result->notes.empty());
  EXPECT_THAT(result->notes.front(), testing::Names("attn_q.0"));
  const Bytes fed_back = sink_->File(0, 0);
  ASSERT_OK(RunPlan(PlanOf(Rounding::kSearch, {{"gguf", "q4_0"}})));
  EXPECT_EQ(sink_->File(0, 0), fed_back);
}

TEST_F(RoundingTest, WhatNoTokenChoseIsRoundedByWhatStandsInAndNamed) {
  const auto nearest = RunPlan(PlanOf(Rounding::kNearest, {{"gguf", "q4_0"}}));
  ASSERT_OK(nearest);
  const auto searched = RunPlan(PlanOf(Rounding::kSearch, {{"gguf", "q4_0"}}));
  ASSERT_OK(searched);
  Importance importance = *importance_;
  const auto at = static_cast<size_t>(source_->description().Find(Role::kFfnUp, 1) -
                                      source_->description().pieces.data());
  importance.stand_ins[at] = importance.columns[at];
  std::ranges::fill(importance.columns[at], 1.f);
  importance_ = std::make_shared<const Importance>(std::move(importance));
  const auto again = RunPlan(PlanOf(Rounding::kSearch, {{"gguf", "q4_0"}}));
  ASSERT_OK(again);
  EXPECT_EQ(Digests(*again), Digests(*searched));
  EXPECT_TRUE(searched->notes.empty());
  ASSERT_EQ(again->notes.size(), 1u);
  EXPECT_THAT(again->notes.front(), testing::Names("layers.1.mlp.up_proj"));
  const auto plain = RunPlan(PlanOf(Rounding::kNearest, {{"gguf", "q4_0"}}));
  ASSERT_OK(plain);
  EXPECT_NE(Digests(*plain), Digests(*nearest)) << "ones, as llama-quantize has them";
  EXPECT_TRUE(plain->notes.empty());
}

TEST_F(RoundingTest, MomentsThatAreNoNumbersAreRefused) {
  moments_->beside_diagonal = std::numeric_limits<float>::quiet_NaN();
  EXPECT_ERROR(RunPlan(PlanOf(Rounding::kFeedback, {{"gguf", "q4_0"}}), {.threads = 3}),
               kInvalidArgument, "nan");
}

TEST_F(RoundingTest, ACalibrationOfAnotherModelIsRefused) {
  Plan plan = PlanOf(Rounding::kSearch, {{"gguf", "q4_0"}});
  const auto made = RunPlan(plan);
  ASSERT_OK(made);
  plan.calibration.source = HashText("another");
  EXPECT_ERROR(RunPlan(plan), kFailedPrecondition, "another model");
  const std::string& raw = made->manifests[0].source().digest();
  plan.calibration.source = *Digest::FromHexText(ToHex(AsBytes(raw)));
  EXPECT_OK(RunPlan(plan));
}

TEST_F(RoundingTest, AFactorCountsAgainstTheMemory) {
  const Plan plan = PlanOf(Rounding::kFeedback, {{"gguf", "q4_0"}});
  EXPECT_ERROR(RunPlan(plan, {.memory_bytes = 1000}), kInvalidArgument, "at least", "feedback");
}

TEST(ColumnFactorsTest, OneSlotServesWorkersOneAfterTheOther) {
  TempDir dir;
  WriteTinyModel(dir.path(), "llama", {});
  const auto source = OpenModel(RealFileSystem(), dir.path());
  ASSERT_OK(source);
  const FakeMoments moments((*source)->description());
  ColumnFactors factors(&moments);
  factors.SetSlots(1);
  const int reads = [&] {
    const auto lease = factors.Take(1, 64);
    EXPECT_OK(lease);
    EXPECT_NE(lease->factor(), nullptr);
    const auto again = factors.Take(1, 64);
    EXPECT_EQ(again->factor(), lease->factor());
    return moments.reads.load();
  }();
  ASSERT_OK(factors.Take(1, 64));
  EXPECT_EQ(moments.reads, reads) << "it was kept";
  ASSERT_OK(factors.Take(2, 64));
  EXPECT_GT(moments.reads, reads);
}

// Whose rows are not read to the end before two threads have begun with some.
class MomentsForTwo final : public FakeMoments {
 public:
  using FakeMoments::FakeMoments;
  absl::Status Read(int64_t input, uint64_t first, std::span<float> out) const override {
    if (out.size() > 1) {  // not the diagonal
      std::unique_lock lock(mutex_);
      readers_.insert(std::this_thread::get_id());
      changed_.notify_all();
      if (!changed_.wait_for(lock, std::chrono::seconds(20), [&] { return readers_.size() > 1; }))
        return DeadlineExceeded("nobody helps");
    }
    return FakeMoments::Read(input, first, out);
  }

 private:
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  mutable std::set<std::thread::id> readers_;
};

TEST(ColumnFactorsTest, WhoWaitsForAFactorHelpsToBuildIt) {
  constexpr int64_t kColumns = 2 * kTile;
  TempDir dir;
  WriteTinyModel(dir.path(), "llama", {});
  const auto source = OpenModel(RealFileSystem(), dir.path());
  ASSERT_OK(source);
  const MomentsForTwo moments((*source)->description());
  ColumnFactors factors(&moments);
  factors.SetSlots(1);
  const auto take = [&] { EXPECT_OK(factors.Take(1, kColumns)); };
  std::jthread other(take);
  take();
}

TEST(ColumnFactorsTest, WhatMemoryDoesNotHoldLeavesNobodyWaiting) {
  class TooLarge final : public FakeMoments {
   public:
    using FakeMoments::FakeMoments;
    absl::Status Read(int64_t, uint64_t, std::span<float>) const override {
      throw std::bad_alloc();
    }
  };
  TempDir dir;
  WriteTinyModel(dir.path(), "llama", {});
  const auto source = OpenModel(RealFileSystem(), dir.path());
  ASSERT_OK(source);
  const TooLarge moments((*source)->description());
  ColumnFactors factors(&moments);
  factors.SetSlots(1);
  EXPECT_ERROR(factors.Take(1, 64), kResourceExhausted, "memory");
  EXPECT_ERROR(factors.Take(1, 64), kResourceExhausted, "memory");
}

}  // namespace
}  // namespace quantfleet::pipeline
