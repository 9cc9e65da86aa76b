// What becomes of an activation that proves too large, too slow, or sick while it soaks.
#include <gmock/gmock.h>

#include "tests/agent/update/updater_fixture.h"
#include "tests/support/status_matchers.h"

namespace quantfleet::agent {
namespace {

using ::testing::HasSubstr;
using testing::Names;

class StepDownTest : public UpdaterTest {
 protected:
  StepDownTest() {
    host_.sick_with[large_.content] = Verdict(Reason::kOutOfMemory, "it leaves 1 MiB of memory");
    host_.sick_with[middle_.content] = Verdict(Reason::kTooSlow, "it makes 0.5 tokens/s");
  }
  Assignment Stepping(uint64_t release) const {
    Assignment assignment = To(release, large_);
    assignment.step_down = {middle_.digest, small_.digest};
    return assignment;
  }

  FakeArtifact large_ = MakeArtifact({1, 2, 3, 4, 5, 6}), middle_ = MakeArtifact({7, 8, 9}),
               small_ = MakeArtifact({10, 11});
};

TEST_F(StepDownTest, GoesOnWithTheNextSmallerOneAndSaysSo) {
  auto life = Begin();
  const v1::ModelStatus status = Apply(*life, Stepping(1));
  ExpectHealthy(status, small_, 1);
  EXPECT_EQ(status.assigned_manifest(), large_.digest.raw());
  ASSERT_EQ(status.stepped_down_size(), 2);
  EXPECT_EQ(status.stepped_down(0).manifest(), large_.digest.raw());
  EXPECT_EQ(status.stepped_down(0).reason(), NameOf(Reason::kOutOfMemory));
  EXPECT_THAT(status.stepped_down(0).detail(), HasSubstr("1 MiB"));
  EXPECT_EQ(status.stepped_down(1).manifest(), middle_.digest.raw());
  EXPECT_EQ(status.stepped_down(1).reason(), NameOf(Reason::kTooSlow));

  // It is what the release has come to, also after a restart, and the same statement again changes
  // nothing.
  life = Reboot();
  EXPECT_EQ(life->updater.status().phase(), v1::ModelStatus::HEALTHY);
  const int starts = host_.starts;
  const v1::ModelStatus again = Apply(*life, Stepping(1));
  ExpectHealthy(again, small_, 1);
  EXPECT_EQ(again.stepped_down_size(), 2);
  EXPECT_EQ(host_.starts, starts);
}

TEST_F(StepDownTest, TheVersionBeforeAnswersMeanwhile) {
  auto life = Begin();
  Apply(*life, To(1, v1_));
  std::vector<std::string> while_pulling;
  blobs_.on_fetch = [&] { while_pulling.push_back(host_.running[kModel]); };
  ExpectHealthy(Apply(*life, Stepping(2)), small_, 2);
  EXPECT_THAT(while_pulling, ::testing::Each(v1_.content));
}

TEST_F(StepDownTest, WithNothingSmallerItFails) {
  auto life = Begin();
  Assignment assignment = To(1, large_);
  assignment.step_down = {middle_.digest};
  const v1::ModelStatus status = Apply(*life, assignment);
  ExpectFailed(status, Reason::kTooSlow);
  EXPECT_EQ(status.stepped_down_size(), 1);
}

TEST_F(StepDownTest, WhatRanBeforeStaysWhateverComesOfIt) {
  host_.sick_with.erase(middle_.content);
  auto life = Begin();
  Apply(*life, To(1, middle_));
  // The new limits are too much for all of them, also for the one that runs.
  host_.sick_with[middle_.content] = Verdict(Reason::kTooSlow, "it makes 0.5 tokens/s");
  host_.sick_with[small_.content] = Verdict(Reason::kTooSlow, "it makes 0.7 tokens/s");
  const v1::ModelStatus status = Apply(*life, Stepping(2));
  ExpectFailed(status, Reason::kTooSlow);
  EXPECT_EQ(status.stepped_down_size(), 2);
  EXPECT_EQ(status.active_manifest(), middle_.digest.raw());
  EXPECT_EQ(host_.running[kModel], middle_.content);
  // Nor does it matter that the release names nothing else.
  Assignment same = To(3, middle_);
  same.health.set_min_tokens_per_second(1);
  ExpectFailed(Apply(*life, same), Reason::kTooSlow);
  EXPECT_EQ(host_.running[kModel], middle_.content);
  host_.sick_with.clear();
  life = Reboot();
  ASSERT_TRUE(life->updater.Run({}));
  ExpectFailed(life->updater.status(), Reason::kTooSlow);
  EXPECT_EQ(host_.running[kModel], middle_.content);
}

TEST_F(StepDownTest, DamageIsNoReasonToStepDown) {
  host_.sick_with[large_.content] =
      Verdict(Reason::kHealthFailed, "of the golden answers' tokens it gives 3 %");
  auto life = Begin();
  const v1::ModelStatus status = Apply(*life, Stepping(1));
  ExpectFailed(status, Reason::kHealthFailed);
  EXPECT_EQ(status.stepped_down_size(), 0);
}

TEST_F(StepDownTest, PowerCutAtAnyChangeEndsWithTheSmallOne) {
  const auto live = [&](FileSystem& files, const fs::path& root) {
    host_.running.clear();
    return std::make_unique<Life>(Environment(files), root / "models/m");
  };
  const auto changes = testing::CutPowerAtEachChange({
      .prepare = [&](const fs::path& root) { Apply(*live(files_, root), To(1, v1_)); },
      .act =
          [&](FileSystem& files, const fs::path& root) {
            std::stop_source stop;
            sleeper_.on_sleep = [&] { stop.request_stop(); };
            const auto life = live(files, root);
            life->updater.Accept(Stepping(2));
            life->updater.Run(stop.get_token());
            sleeper_.on_sleep = nullptr;
          },
      .check =
          [&](FileSystem& files, const fs::path& root, bool) {
            const auto life = live(files, root);
            ExpectHealthy(Apply(*life, Stepping(2)), small_, 2);
          },
      .step = testing::Thorough() ? 1 : 5,
  });
  EXPECT_GT(changes, 40);
}

TEST_F(StepDownTest, AProcessThatDoesNotLiveToEndItsActivationWasTooLarge) {
  host_.sick_with.clear();
  auto life = Begin();
  for (int i = 0; i < 5; ++i) {
    host_.on_start = []() -> Verdict { throw std::runtime_error("killed"); };
    life->updater.Accept(Stepping(1));
    EXPECT_THROW(life->updater.Run({}), std::runtime_error);
    host_.on_start = nullptr;
    life = Reboot();
  }
  const v1::ModelStatus status = Apply(*life, Stepping(1));
  ExpectHealthy(status, middle_, 1);
  ASSERT_EQ(status.stepped_down_size(), 1);
  EXPECT_EQ(status.stepped_down(0).reason(), NameOf(Reason::kOutOfMemory));
  EXPECT_THAT(status.stepped_down(0).detail(), HasSubstr("ended 5 times"));
}

class SoakTest : public UpdaterTest {
 protected:
  Assignment Soaking(uint64_t release, const FakeArtifact& artifact, uint32_t seconds = 60) {
    Assignment assignment = To(release, artifact);
    assignment.health.set_soak_seconds(seconds);
    return assignment;
  }
  Duration Slept() const {
    Duration all{0};
    for (const Duration time : sleeper_.slept()) all += time;
    return all;
  }
};

TEST_F(SoakTest, CountsOnlyOnceItsTimeIsOver) {
  auto life = Begin();
  sleeper_.on_sleep = [&] {
    EXPECT_EQ(life->updater.status().phase(), v1::ModelStatus::SOAKING);
    EXPECT_EQ(life->updater.status().active_manifest(), v1_.digest.raw());
  };
  ExpectHealthy(Apply(*life, Soaking(1, v1_)), v1_, 1);
  EXPECT_EQ(Slept(), std::chrono::seconds(60));
  EXPECT_EQ(host_.looks, 12);
}

TEST_F(SoakTest, WhatBecomesSickMeanwhileGoesBackWithinSeconds) {
  auto life = Begin();
  Apply(*life, To(1, v1_));
  sleeper_.Forget();
  sleeper_.on_sleep = [&] {
    if (sleeper_.slept().size() == 3)
      host_.still_healthy =
          Verdict(Reason::kHealthFailed, "asked for a word it returned status 500");
  };
  const v1::ModelStatus status = Apply(*life, Soaking(2, v2_));
  ExpectFailed(status, Reason::kHealthFailed);
  EXPECT_THAT(status.detail(), Names("soak", "status 500"));
  EXPECT_EQ(host_.running[kModel], v1_.content);
  EXPECT_LE(Slept(), std::chrono::seconds(15));
}

TEST_F(SoakTest, AnInterruptionGoesOnAndARestartBeginsAgain) {
  auto life = Begin();
  std::stop_source stop;
  sleeper_.on_sleep = [&] {
    if (sleeper_.slept().size() == 4) stop.request_stop();
  };
  life->updater.Accept(Soaking(1, v1_));
  EXPECT_FALSE(life->updater.Run(stop.get_token()));
  EXPECT_EQ(host_.starts, 1);
  sleeper_.Forget();
  sleeper_.on_sleep = nullptr;
  ASSERT_TRUE(life->updater.Run({}));
  EXPECT_EQ(host_.starts, 1) << "it was proven and goes on";
  EXPECT_EQ(Slept(), std::chrono::seconds(45));

  sleeper_.Forget();
  std::stop_source other;
  sleeper_.on_sleep = [&] {
    if (sleeper_.slept().size() == 4) other.request_stop();
  };
  life->updater.Accept(Soaking(2, v2_));
  EXPECT_FALSE(life->updater.Run(other.get_token()));
  sleeper_.on_sleep = nullptr;
  life = Reboot();
  sleeper_.Forget();
  ExpectHealthy(Apply(*life, Soaking(2, v2_)), v2_, 2);
  EXPECT_EQ(Slept(), std::chrono::seconds(60));
}

TEST_F(SoakTest, MemoryThatShrinksMeanwhileStepsDown) {
  FakeArtifact small = MakeArtifact({50});
  auto life = Begin();
  Assignment assignment = Soaking(1, v1_);
  assignment.health.set_min_memory_available_bytes(100);
  assignment.step_down = {small.digest};
  host_.health.memory_available_bytes = 200;
  sleeper_.on_sleep = [&] {
    host_.health.memory_available_bytes = life->updater.status().stepped_down_size() ? 200 : 50;
  };
  blobs_.on_fetch = [&] { host_.health.memory_available_bytes = 200; };
  const v1::ModelStatus status = Apply(*life, assignment);
  ExpectHealthy(status, small, 1);
  EXPECT_EQ(status.stepped_down(0).reason(), NameOf(Reason::kOutOfMemory));
}

}  // namespace
}  // namespace quantfleet::agent
