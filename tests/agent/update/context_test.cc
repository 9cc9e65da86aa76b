// The context that an assignment asks for, and what the memory of the device makes of it.
#include <gmock/gmock.h>

#include "pipeline/artifact/memory.h"
#include "tests/agent/update/updater_fixture.h"
#include "tests/support/status_matchers.h"

namespace quantfleet::agent {
namespace {

using ::testing::HasSubstr;
using testing::Names;

class ContextTest : public UpdaterTest {
 protected:
  static v1::Memory Terms(uint64_t weights) {
    v1::Memory memory;
    memory.set_weights_bytes(weights);
    for (const auto& [type, bytes] : {std::pair("f16", 64), std::pair("q8_0", 34)}) {
      v1::KvCache& cache = *memory.add_caches();
      cache.set_type(type);
      cache.set_bytes_per_token(static_cast<uint64_t>(bytes));
    }
    memory.set_model_context(100'000);
    return memory;
  }
  FakeArtifact Needing(const std::vector<uint64_t>& seeds, uint64_t weights) {
    const v1::Memory memory = Terms(weights);
    return MakeArtifact(seeds, &memory);
  }
  static Assignment With(Assignment assignment, uint64_t tokens, uint64_t least = 0,
                         const std::string& kv_type = "") {
    assignment.context.set_tokens(tokens);
    assignment.context.set_min_tokens(least);
    assignment.context.set_kv_type(kv_type);
    return assignment;
  }

  std::stop_source stop_;
  FakeArtifact large_ = Needing({1, 2, 3}, 1'000'000), small_ = Needing({4, 5}, 400'000);
};

TEST_F(ContextTest, RunsExactlyWhatItIsToldAndSaysSo) {
  auto life = Begin();
  const v1::ModelStatus status = Apply(*life, With(To(1, large_), 8192, 0, "q8_0"));
  ExpectHealthy(status, large_, 1);
  EXPECT_EQ(host_.context, 8192u);
  EXPECT_EQ(host_.kv_type, "q8_0");
  EXPECT_EQ(status.context(), 8192u);
  EXPECT_EQ(status.kv_type(), "q8_0");
}

TEST_F(ContextTest, ADaemonThatDoesNotSayGetsTheDefault) {
  auto life = Begin();
  EXPECT_EQ(Apply(*life, To(1, large_)).context(), 4096u);
  EXPECT_EQ(host_.kv_type, "f16");
}

TEST_F(ContextTest, WhereMemoryIsShortItTakesTheMostThatFits) {
  host_.memory = 1'000'000 + 5000 * 64;
  auto life = Begin();
  const v1::ModelStatus status = Apply(*life, With(To(1, large_), 8192, 2048));
  ExpectHealthy(status, large_, 1);
  EXPECT_EQ(host_.context, 4864u);  // 19 times 256
  EXPECT_EQ(status.context(), 4864u);
  EXPECT_THAT(status.detail(), Names("4864", "8192"));
}

TEST_F(ContextTest, BelowTheLeastItStepsDownToASmallerPrecision) {
  host_.memory = 1'000'000 + 1000 * 64;
  auto life = Begin();
  Assignment assignment = With(To(1, large_), 8192, 2048);
  assignment.step_down = {small_.digest};
  const v1::ModelStatus status = Apply(*life, assignment);
  ExpectHealthy(status, small_, 1);
  EXPECT_EQ(status.context(), 8192u);
  ASSERT_EQ(status.stepped_down_size(), 1);
  EXPECT_EQ(status.stepped_down(0).reason(), NameOf(Reason::kOutOfMemory));
  EXPECT_THAT(status.stepped_down(0).detail(), Names("8192", "f16"));
  EXPECT_THAT(status.stepped_down(0).detail(), HasSubstr("768"));
  EXPECT_EQ(host_.starts, 1) << "what does not fit is not loaded";
}

TEST_F(ContextTest, WhatWasProvenRunsSoAfterARestart) {
  host_.memory = 1'000'000 + 5000 * 64;
  auto life = Begin();
  Apply(*life, With(To(1, large_), 8192, 2048));
  host_.memory = 1;  // other programs have it now; what was proven is not asked again
  host_.context = 0;
  life = Reboot();
  EXPECT_EQ(host_.context, 4864u);
  EXPECT_EQ(life->updater.status().context(), 4864u);
}

TEST_F(ContextTest, AnotherContextOfTheSameArtifactIsProvenAnew) {
  auto life = Begin();
  Apply(*life, With(To(1, large_), 8192));
  const int starts = host_.starts;
  EXPECT_EQ(Apply(*life, With(To(2, large_), 2048)).context(), 2048u);
  EXPECT_EQ(host_.starts, starts + 1);
}

TEST_F(ContextTest, OneThatTurnsSickWhileItSoaksGivesWayToTheOneBefore) {
  auto life = Begin();
  Apply(*life, With(To(1, large_), 2048));
  Assignment longer = With(To(2, large_), 8192);
  longer.health.set_soak_seconds(60);
  host_.still_healthy = Verdict(Reason::kOutOfMemory, "it leaves 1 MiB");
  ExpectFailed(Apply(*life, longer), Reason::kOutOfMemory);
  EXPECT_EQ(host_.context, 2048u);
  EXPECT_EQ(life->updater.status().context(), 2048u);
}

// What ran before is lost where the trial of another context counts as its own.
TEST_F(ContextTest, AReleaseThatDoesNotFitWhileAnotherSoaksLeavesWhatWasProven) {
  auto life = Begin();
  Apply(*life, With(To(1, large_), 2048));
  Assignment longer = With(To(2, large_), 8192);
  longer.health.set_soak_seconds(60);
  life->updater.Accept(longer);
  sleeper_.on_sleep = [&] { stop_.request_stop(); };
  EXPECT_FALSE(life->updater.Run(stop_.get_token()));
  sleeper_.on_sleep = nullptr;
  host_.memory = 1'000'000 + 3000 * 64;
  const v1::ModelStatus status = Apply(*life, With(To(3, large_), 16384));
  ExpectFailed(status, Reason::kOutOfMemory);
  EXPECT_EQ(host_.running[kModel], large_.content);
  EXPECT_EQ(host_.context, 2048u);
  EXPECT_EQ(status.active_manifest(), large_.digest.raw());
}

TEST_F(ContextTest, ARuntimeThatIsNotToldHasNoContext) {
  host_.allowed.insert("server");
  Assignment assignment = With(To(1, large_), 2048, 0, "q8_0");
  assignment.runtime.emplace().set_command("server");
  auto life = Begin();
  v1::ModelStatus status = Apply(*life, assignment);
  EXPECT_EQ(status.context(), 0u);
  EXPECT_EQ(status.kv_type(), "");
  assignment.release = 2;
  assignment.runtime->add_args("-c={context}");
  status = Apply(*life, assignment);
  EXPECT_EQ(status.context(), 2048u);
  EXPECT_EQ(status.kv_type(), "");
}

TEST_F(ContextTest, GoldenAnswersOfAnotherLengthAreNotAskedAndThatIsSaid) {
  v1::Memory memory = Terms(1000);
  memory.set_short_context(4096);
  const FakeArtifact rotary = MakeArtifact({31, 32}, &memory);
  golden_.emplace().add_answer(1);  // with a context of 4096 at most
  auto life = Begin();
  Assignment assignment = With(To(1, rotary), 4096);
  assignment.health.set_min_golden_agreement(0.5);
  EXPECT_EQ(Apply(*life, assignment).detail(), "");
  EXPECT_EQ(host_.golden_asked, 1u);
  Assignment longer = With(To(2, rotary), 8192);
  longer.health.set_min_golden_agreement(0.5);
  EXPECT_THAT(Apply(*life, longer).detail(), HasSubstr("not checked"));
  EXPECT_EQ(host_.golden_asked, 0u);
}

TEST_F(ContextTest, AnArtifactFromBeforeIsNotHeldAgainstAGuess) {
  host_.memory = 1;
  auto life = Begin();
  ExpectHealthy(Apply(*life, With(To(1, v1_), 2048)), v1_, 1);
  EXPECT_EQ(host_.context, 2048u);
}

}  // namespace
}  // namespace quantfleet::agent
