// Phases, gates, limits and the way back, with a store and signed assignments.
#include <random>

#include "common/trust/statement.h"
#include "daemon/rollout/row.h"
#include "tests/daemon/rollout/rollout_fixture.h"
#include "tests/daemon/store/once.h"

namespace quantfleet::daemon {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using v1::ModelStatus;
using v1::Rollout;
using v1::RolloutDevice;
using v1::RolloutPlan;

class PhasedTest : public RolloutFixture {
 protected:
  PhasedTest() { first_ = PutArtifact("q4_0"); }

  // A canary, then the rest.
  static RolloutPlan Canary() {
    RolloutPlan plan;
    plan.add_phases()->set_count(1);
    plan.add_phases();
    return plan;
  }
  std::vector<RolloutDevice> Pending(const Rollout& rollout) {
    return In(Get(rollout), RolloutDevice::PENDING);
  }
  v1::Assignment Assigned(const std::string& id) {
    v1::Assignment assignment;
    const auto all = Once(*store_)->assignments().List(id);
    EXPECT_EQ(all->size(), 1u);
    EXPECT_TRUE(assignment.ParseFromString(all->front().statement.payload()));
    return assignment;
  }

  std::string first_;
};

TEST_F(PhasedTest, OnlyTheCanaryIsToldFirst) {
  const auto ids = EnrollDevices(4);
  const Rollout rollout = Create(Canary());
  const auto assigned = Pending(rollout);
  ASSERT_THAT(assigned, SizeIs(1));
  EXPECT_THAT(In(Get(rollout), RolloutDevice::QUEUED), SizeIs(3));
  for (const std::string& id : ids)
    EXPECT_EQ(Once(*store_)->assignments().List(id)->size(),
              id == assigned[0].device_id() ? 1u : 0u);
  AllHealthy(rollout);
  EXPECT_THAT(Pending(rollout), SizeIs(3));
  AllHealthy(rollout);
  EXPECT_EQ(Get(rollout).state(), Rollout::COMPLETED);
}

TEST_F(PhasedTest, SoaksByTheClockAndGoesOnByATick) {
  EnrollDevices(2);
  RolloutPlan plan = Canary();
  plan.mutable_phases(0)->set_soak_seconds(60);
  const Rollout rollout = Create(plan);
  AllHealthy(rollout);
  EXPECT_EQ(Get(rollout).state(), Rollout::SOAKING);
  Pass(59);
  EXPECT_THAT(Pending(rollout), IsEmpty());
  Pass(2);
  EXPECT_THAT(Pending(rollout), SizeIs(1));
}

TEST_F(PhasedTest, ACanaryThatBreaksWhileSoakingPausesTheRollout) {
  EnrollDevices(2);
  RolloutPlan plan = Canary();
  plan.mutable_phases(0)->set_soak_seconds(60);
  const Rollout rollout = Create(plan);
  const RolloutDevice canary = Pending(rollout).at(0);
  Ends(canary, ModelStatus::HEALTHY);
  Ends(canary, ModelStatus::FAILED, "out_of_memory");
  Pass(60);
  const Rollout now = Get(rollout);
  EXPECT_EQ(now.state(), Rollout::PAUSED);
  EXPECT_EQ(Row(now, canary.device_id()).code(), RolloutDevice::OUT_OF_MEMORY);
  EXPECT_THAT(In(now, RolloutDevice::QUEUED), SizeIs(1));
}

TEST_F(PhasedTest, TooManyFailuresRollBackWhoWasTold) {
  EnrollDevices(3);
  const Rollout before = Create({});
  AllHealthy(before);
  const std::string second = PutArtifact("q4_0", 1, "v2");
  RolloutPlan plan = Canary();
  plan.set_max_failures(0);
  plan.set_on_failure(RolloutPlan::ROLL_BACK);
  const Rollout rollout = Create(plan);
  const RolloutDevice canary = Pending(rollout).at(0);
  EXPECT_EQ(canary.artifact(), second);
  EXPECT_EQ(canary.previous_artifact(), first_);
  // The device went back by itself already.
  ModelStatus failed = Status(canary, ModelStatus::FAILED, "health_failed");
  failed.set_active_manifest(Once(*store_)->artifacts().Get(first_)->artifact.manifest_digest());
  Says(canary.device_id(), {failed});
  Rollout now = Get(rollout);
  EXPECT_EQ(now.state(), Rollout::ROLLING_BACK);
  EXPECT_THAT(now.reason(), HasSubstr("failed devices: 1, which exceeds the limit of 0"));
  const RolloutDevice back = Row(now, canary.device_id());
  EXPECT_EQ(back.release(), 3u);
  EXPECT_EQ("artifacts/" + ToHex(AsBytes(Assigned(canary.device_id()).manifest_digest())), first_);
  EXPECT_THAT(In(now, RolloutDevice::SKIPPED), SizeIs(2));
  Ends(back, ModelStatus::HEALTHY);
  now = Get(rollout);
  EXPECT_EQ(now.state(), Rollout::ROLLED_BACK);
  EXPECT_EQ(Row(now, canary.device_id()).state(), RolloutDevice::ROLLED_BACK);
  EXPECT_EQ(Row(now, canary.device_id()).code(), RolloutDevice::HEALTH_FAILED)
      << "why it was taken back stays";
}

TEST_F(PhasedTest, ARuntimeComesAndGoesWithItsArtifact) {
  const auto apply = [&](const std::string& pace) {
    ASSERT_OK(classes_
                  .Apply("name='served'\nformat='gguf'\nrecipe='q4_0'\npriority=99\n[runtime]"
                         "\ncommand='server'\n"
                         "args=['{model}', '{port}', '" +
                         pace + "']\n")
                  .status());
  };
  apply("slow");
  FakeDevice device;
  device.facts.add_runtimes("server");
  Enrolled(device);
  const Rollout first = Create({});
  EXPECT_EQ(Assigned(device.id).runtime().command(), "server");
  EXPECT_EQ(Assigned(device.id).runtime().args(2), "slow");
  ModelStatus runs = Status(Row(Get(first), device.id), ModelStatus::HEALTHY);
  *runs.mutable_active_runtime() = Assigned(device.id).runtime();
  Says(device.id, {runs});
  apply("fast");
  const Rollout second = Create({});
  EXPECT_EQ(Assigned(device.id).runtime().args(2), "fast");
  Act(second, RolloutEvent::kRollBack);
  EXPECT_EQ(Assigned(device.id).release(), 3u);
  EXPECT_EQ(Assigned(device.id).runtime().args(2), "slow");
  // What a device says of its runtime comes back to it signed: nonsense does not.
  runs.mutable_active_runtime()->set_command("/bin/sh");
  EXPECT_FALSE(CheckIn(device.id, "test", nullptr, {runs}).ok());
}

TEST_F(PhasedTest, ADeviceThatRanNothingBeforeIsToldToRunNothing) {
  const auto ids = EnrollDevices(1);
  const Rollout rollout = Create({});
  AllHealthy(rollout);
  ASSERT_EQ(Get(rollout).state(), Rollout::COMPLETED);
  EXPECT_EQ(Act(rollout, RolloutEvent::kRollBack).state(), Rollout::ROLLING_BACK);
  EXPECT_EQ(Assigned(ids[0]).manifest_digest(), "");
  EXPECT_EQ(Assigned(ids[0]).release(), 2u);
  Ends(Row(Get(rollout), ids[0]), ModelStatus::REMOVED);
  EXPECT_EQ(Get(rollout).state(), Rollout::ROLLED_BACK);
}

TEST_F(PhasedTest, ARollbackLeavesWhoWasToldSomethingNewer) {
  const auto ids = EnrollDevices(2);
  const Rollout old = Create({});
  AllHealthy(old);
  PutArtifact("q4_0", 1, "v2");
  const auto newer = rollouts_.Create({"", "demo", {ids[0]}, {}});
  ASSERT_OK(newer.status());
  Act(old, RolloutEvent::kRollBack);
  EXPECT_EQ(Row(Get(old), ids[0]).state(), RolloutDevice::HEALTHY);
  EXPECT_EQ(Assigned(ids[0]).rollout(), newer->name());
  EXPECT_EQ(Row(Get(old), ids[1]).state(), RolloutDevice::ROLLING_BACK);
}

TEST_F(PhasedTest, AnOfflineDeviceTimesOut) {
  EnrollDevices(2);
  RolloutPlan plan;
  plan.set_device_timeout_seconds(600);
  const Rollout rollout = Create(plan);
  Ends(Pending(rollout).at(0), ModelStatus::HEALTHY);
  Pass(599);
  EXPECT_EQ(Get(rollout).state(), Rollout::RUNNING);
  Pass(1);
  const Rollout now = Get(rollout);
  EXPECT_EQ(now.state(), Rollout::FAILED);
  const auto failed = In(now, RolloutDevice::FAILED);
  ASSERT_THAT(failed, SizeIs(1));
  EXPECT_EQ(failed[0].code(), RolloutDevice::TIMED_OUT);
  EXPECT_THAT(failed[0].reason(), HasSubstr("600 s ago"));
}

TEST_F(PhasedTest, ADeadlineOfAClockThatWasAheadBeginsAnew) {
  EnrollDevices(1);
  RolloutPlan plan;
  plan.set_device_timeout_seconds(600);
  const Rollout rollout = Create(plan);
  RolloutDevice row = Pending(rollout).at(0);
  row.set_deadline_ms(row.deadline_ms() + int64_t{400} * 86'400'000);
  ASSERT_OK(Once(*store_)->rollouts().PutDevice(rollout.name(), row));
  Pass(1);
  EXPECT_EQ(Row(Get(rollout), row.device_id()).deadline_ms(), ToUnixMillis(clock_.Now()) + 600'000);
  Pass(600);
  EXPECT_EQ(In(Get(rollout), RolloutDevice::FAILED).size(), 1u);
}

TEST_F(PhasedTest, APhaseOpenedByAClockThatWasAheadGoesOn) {
  EnrollDevices(2);
  RolloutPlan plan;
  plan.set_max_in_flight(1);
  const Rollout rollout = Create(plan);
  Rollout head = Once(*store_)->rollouts().GetHead(rollout.name()).value();
  head.set_phase_opened_ms(head.phase_opened_ms() + int64_t{400} * 86'400'000);
  ASSERT_OK(Once(*store_)->rollouts().PutHead(head));
  Ends(Pending(rollout).at(0), ModelStatus::HEALTHY);
  Pass(1);
  EXPECT_THAT(Pending(Get(rollout)), SizeIs(1));
}

// Jumps while the daemon runs: no device fails for it, and no soak is over.
TEST_F(PhasedTest, AClockThatJumpsMovesNoRollout) {
  EnrollDevices(1);
  RolloutPlan plan;
  plan.set_device_timeout_seconds(600);
  const Rollout rollout = Create(plan);
  for (const std::chrono::hours jump : {std::chrono::hours(24 * 400), std::chrono::hours(-48)}) {
    clock_.Advance(jump);
    EXPECT_ERROR(rollouts_.Tick(), kFailedPrecondition, "the daemon's clock says");
    clock_.Advance(-jump);
    Pass(1);
    EXPECT_THAT(Pending(Get(rollout)), SizeIs(1));
  }
}

TEST_F(PhasedTest, ADeviceOfflineForTheWayBackTimesOutToo) {
  EnrollDevices(1);
  RolloutPlan plan;
  plan.set_device_timeout_seconds(600);
  const Rollout rollout = Create(plan);
  Act(rollout, RolloutEvent::kRollBack);
  Pass(601);
  EXPECT_EQ(Get(rollout).state(), Rollout::ROLLED_BACK);
  EXPECT_EQ(Get(rollout).devices(0).code(), RolloutDevice::TIMED_OUT);
}

TEST_F(PhasedTest, WithoutAPlanADeviceHasADay) {
  EnrollDevices(1);
  const Rollout rollout = Create({});
  Pass(86'399);
  EXPECT_EQ(Get(rollout).state(), Rollout::RUNNING);
  Pass(1);
  EXPECT_EQ(Get(rollout).state(), Rollout::FAILED);
}

TEST_F(PhasedTest, AbortClosesWhoIsNotThrough) {
  EnrollDevices(3);
  RolloutPlan plan;
  plan.set_max_in_flight(1);
  const Rollout rollout = Create(plan);
  Ends(Pending(rollout).at(0), ModelStatus::HEALTHY);
  const Rollout now = Act(rollout, RolloutEvent::kAbort);
  EXPECT_EQ(now.state(), Rollout::ABORTED);
  EXPECT_THAT(In(now, RolloutDevice::HEALTHY), SizeIs(1));
  EXPECT_THAT(In(now, RolloutDevice::SKIPPED), SizeIs(2));
  for (const RolloutDevice& row : In(now, RolloutDevice::SKIPPED))
    EXPECT_EQ(row.code(), RolloutDevice::CANCELLED);
  // Who was under way may have taken it: the way back includes it.
  EXPECT_THAT(In(Act(rollout, RolloutEvent::kRollBack), RolloutDevice::ROLLING_BACK), SizeIs(2));
}

TEST_F(PhasedTest, ADraftTellsNobodyAndTakesDevicesOverWhenItBegins) {
  const auto ids = EnrollDevices(1);
  const Rollout running = Create({});
  const Rollout draft = Create({}, /*draft=*/true);
  Pass(100);
  EXPECT_EQ(Get(draft).state(), Rollout::DRAFT);
  EXPECT_EQ(Row(Get(running), ids[0]).state(), RolloutDevice::PENDING);
  Act(draft, RolloutEvent::kApprove);
  EXPECT_EQ(Row(Get(draft), ids[0]).release(), 2u);
  EXPECT_EQ(Row(Get(running), ids[0]).code(), RolloutDevice::SUPERSEDED);
  EXPECT_EQ(Get(running).state(), Rollout::COMPLETED);
}

TEST_F(PhasedTest, AnApprovalThatIsRepeatedOpensNoSecondGate) {
  EnrollDevices(3);
  RolloutPlan plan;
  plan.add_phases()->set_count(1);
  plan.mutable_phases(0)->set_approval(true);
  plan.add_phases()->set_approval(true);
  const Rollout rollout = Create(plan);
  EXPECT_EQ(Get(rollout).state(), Rollout::AWAITING_APPROVAL);
  EXPECT_ERROR(rollouts_.Approve(rollout.name(), 2), kFailedPrecondition, "cannot be approved yet");
  ASSERT_OK(rollouts_.Approve(rollout.name(), 1).status());
  ASSERT_OK(rollouts_.Approve(rollout.name(), 1).status());
  AllHealthy(rollout);
  ASSERT_OK(rollouts_.Approve(rollout.name(), 1).status());
  EXPECT_EQ(Get(rollout).state(), Rollout::AWAITING_APPROVAL);
  ASSERT_OK(rollouts_.Approve(rollout.name(), 2).status());
  EXPECT_THAT(Pending(rollout), SizeIs(2));
}

TEST_F(PhasedTest, AGateWithNobodyBehindItIsNone) {
  const auto ids = EnrollDevices(2);
  RolloutPlan plan = Canary();
  plan.mutable_phases(1)->set_approval(true);
  const Rollout old = Create(plan);
  AllHealthy(old);
  EXPECT_EQ(Get(old).state(), Rollout::AWAITING_APPROVAL);
  Create({});
  EXPECT_EQ(Get(old).state(), Rollout::COMPLETED);
}

TEST_F(PhasedTest, ADryRunKeepsNothingAndSaysWhatComes) {
  EnrollDevices(4);
  Rollouts::CreateRequest request{"", "demo", {}, {}};
  request.plan = Canary();
  request.dry_run = true;
  const auto dry = rollouts_.Create(request);
  ASSERT_OK(dry.status());
  EXPECT_TRUE(Once(*store_)->rollouts().List()->empty());
  const Rollout real = Create(Canary());
  for (const RolloutDevice& row : dry->devices()) {
    EXPECT_EQ(row.phase(), Row(real, row.device_id()).phase());
    EXPECT_EQ(row.bytes(), 1000u);
  }
}

TEST_F(PhasedTest, AnEstimateRestsOnWhatDevicesTook) {
  const auto ids = EnrollDevices(3);
  Rollouts::CreateRequest request{"", "demo", {}, {}};
  request.plan.set_max_in_flight(1);
  request.dry_run = true;
  EXPECT_EQ(rollouts_.Create(request)->estimate().measured_devices(), 0u);
  request.dry_run = false;
  const auto rollout = rollouts_.Create(request);
  ASSERT_OK(rollout.status());
  // 30 s of check-in and 1000 bytes at 10 Mbit/s, three times.
  EXPECT_DOUBLE_EQ(rollout->estimate().seconds(), 3 * 30.001);
  for (size_t i = 0; i < ids.size(); ++i) {
    clock_.Advance(std::chrono::seconds(8));
    AllHealthy(*rollout);
  }
  ASSERT_EQ(Get(*rollout).state(), Rollout::COMPLETED);
  request.dry_run = true;
  const auto next = rollouts_.Create(request);
  ASSERT_OK(next.status());
  EXPECT_EQ(next->estimate().measured_devices(), 3u);
  EXPECT_EQ(next->estimate().bytes_per_second(), 125);
  EXPECT_EQ(next->estimate().device_seconds(), 8);
  EXPECT_EQ(next->estimate().seconds(), 24);
}

TEST_F(PhasedTest, ASelectorChoosesByLabels) {
  const auto ids = EnrollDevices(2);
  ASSERT_OK(fleet_.Label(ids[0], {{"site", "lab"}}, {}).status());
  Rollouts::CreateRequest request{"", "demo", {}, {}};
  request.selector = {{"site", "lab"}};
  const auto rollout = rollouts_.Create(request);
  ASSERT_OK(rollout.status());
  ASSERT_EQ(rollout->devices_size(), 1);
  EXPECT_EQ(rollout->devices(0).device_id(), ids[0]);
  request.selector = {{"site", "moon"}};
  EXPECT_ERROR(rollouts_.Create(request), kFailedPrecondition, "selector");
}

TEST_F(PhasedTest, AGroupIsAPhaseAndNarrowsAWholeRollout) {
  const auto ids = EnrollDevices(4);
  v1::DeviceGroup group;
  group.set_name("lab");
  group.add_device_ids(ids[1]);
  (*group.mutable_selector())["site"] = "lab";
  ASSERT_OK(ApplyGroup(*store_, group, clock_.Now()).status());
  ASSERT_OK(fleet_.Label(ids[2], {{"site", "lab"}}, {}).status());
  RolloutPlan plan;
  plan.add_phases()->set_group("lab");
  const Rollout rollout = Create(plan);
  ASSERT_THAT(Pending(rollout), SizeIs(2));
  for (const std::string& id : {ids[1], ids[2]}) EXPECT_EQ(Row(rollout, id).phase(), 0u);
  EXPECT_ERROR(Once(*store_)->groups().Delete("lab"), kFailedPrecondition,
               "group lab is used by " + rollout.name());
  AllHealthy(rollout);
  AllHealthy(rollout);
  ASSERT_EQ(Get(rollout).state(), Rollout::COMPLETED);

  Rollouts::CreateRequest request{"", "demo", {ids[0], ids[1]}, {}};
  request.group = "lab";
  const auto narrowed = rollouts_.Create(request);
  ASSERT_OK(narrowed.status());
  EXPECT_EQ(narrowed->devices_size(), 1);
  EXPECT_EQ(narrowed->group(), "lab");
  EXPECT_ERROR(Once(*store_)->groups().Delete("lab"), kFailedPrecondition,
               "group lab is used by " + narrowed->name());
  request.device_ids = {ids[0]};
  EXPECT_ERROR(rollouts_.Create(request), kFailedPrecondition, "quantfleet group show lab");
  request.group = "nowhere";
  EXPECT_ERROR(rollouts_.Create(request), kNotFound, "quantfleet group apply nowhere");
  plan.mutable_phases(0)->set_group("nowhere");
  EXPECT_ERROR(rollouts_.Create({"", "demo", {}, {}, plan}), kNotFound, "nowhere");
}

TEST_F(PhasedTest, ADynamicRolloutAsksTheGroupAsItIs) {
  const auto ids = EnrollDevices(3);
  v1::DeviceGroup group;
  group.set_name("lab");
  group.add_device_ids(ids[0]);
  ASSERT_OK(ApplyGroup(*store_, group, clock_.Now()).status());
  Rollouts::CreateRequest request{"", "demo", {}, {}};
  request.plan.set_dynamic(true);
  request.group = "lab";
  const auto rollout = rollouts_.Create(request);
  ASSERT_OK(rollout.status());
  AllHealthy(*rollout);
  Says(ids[1], {});
  EXPECT_EQ(Get(*rollout).devices_size(), 1);
  group.add_device_ids(ids[1]);
  ASSERT_OK(ApplyGroup(*store_, group, clock_.Now()).status());
  Says(ids[1], {});
  EXPECT_EQ(Row(Get(*rollout), ids[1]).state(), RolloutDevice::PENDING);
  AllHealthy(*rollout);
  // Over, it does not keep the group; without it nobody joins any more.
  ASSERT_OK(Once(*store_)->groups().Delete("lab").status());
  Says(ids[2], {});
  EXPECT_EQ(Get(*rollout).devices_size(), 2);
}

TEST_F(PhasedTest, LaterDevicesJoinADynamicRolloutEvenWhenItIsOver) {
  EnrollDevices(1);
  RolloutPlan plan;
  plan.set_dynamic(true);
  const Rollout rollout = Create(plan);
  AllHealthy(rollout);
  ASSERT_EQ(Get(rollout).state(), Rollout::COMPLETED);
  const auto later = EnrollDevices(1);
  Says(later[0], {});
  EXPECT_EQ(Get(rollout).state(), Rollout::RUNNING);
  EXPECT_EQ(Row(Get(rollout), later[0]).state(), RolloutDevice::PENDING);
  AllHealthy(rollout);
  EXPECT_EQ(Get(rollout).state(), Rollout::COMPLETED);
  // What was rolled back stays so: nobody joins any more.
  Act(rollout, RolloutEvent::kRollBack);
  const auto latest = EnrollDevices(1);
  Says(latest[0], {});
  EXPECT_THAT(*Once(*store_)->assignments().List(latest[0]), IsEmpty());
}

TEST_F(PhasedTest, ADeviceThatJoinsGetsTheNewestRolloutAlone) {
  EnrollDevices(1);
  RolloutPlan plan;
  plan.set_dynamic(true);
  const Rollout old = Create(plan);
  AllHealthy(old);
  PutArtifact("q4_0", 1, "v2");
  const Rollout newer = Create(plan);
  const auto later = EnrollDevices(1);
  Says(later[0], {});
  Says(later[0], {});
  EXPECT_EQ(Get(old).devices_size(), 1);
  EXPECT_EQ(Row(Get(newer), later[0]).release(), 1u);
}

TEST_F(PhasedTest, ADeviceIsMatchedAnewWhenItsTurnComes) {
  const auto ids = EnrollDevices(2);
  const Rollout rollout = Create(Canary());
  const std::string waiting = In(rollout, RolloutDevice::QUEUED).at(0).device_id();
  ASSERT_OK(Revoke(waiting).status());
  AllHealthy(rollout);
  EXPECT_EQ(Row(Get(rollout), waiting).code(), RolloutDevice::REVOKED);
  EXPECT_EQ(Get(rollout).state(), Rollout::COMPLETED);
}

TEST_F(PhasedTest, TheRateAndTheWindowAreKept) {
  EnrollDevices(5);
  RolloutPlan plan;
  plan.set_devices_per_minute(1);
  const Rollout slow = Create(plan);
  EXPECT_THAT(Pending(slow), SizeIs(1));
  Pass(30);
  EXPECT_THAT(Pending(slow), SizeIs(1));
  Pass(31);
  EXPECT_THAT(Pending(slow), SizeIs(2));
  plan.clear_devices_per_minute();
  const auto minute = static_cast<uint32_t>(ToUnixMillis(clock_.Now()) / 60'000 % 1440);
  plan.add_windows()->set_start_minute((minute + 2) % 1440);
  plan.mutable_windows(0)->set_end_minute((minute + 4) % 1440);
  const Rollout night = Create(plan);
  EXPECT_THAT(Pending(night), IsEmpty());
  EXPECT_EQ(Get(night).state(), Rollout::RUNNING);
  Pass(180);
  EXPECT_THAT(Pending(night), SizeIs(5));
}

TEST_F(PhasedTest, EveryReasonOfAnAgentHasACode) {
  EXPECT_EQ(CodeOf("disk_full"), RolloutDevice::DISK_FULL);
  EXPECT_EQ(CodeOf("verify_failed"), RolloutDevice::VERIFY_FAILED);
  EXPECT_EQ(CodeOf("health_failed"), RolloutDevice::HEALTH_FAILED);
  EXPECT_EQ(CodeOf("rollback_refused"), RolloutDevice::REFUSED);
  EXPECT_EQ(CodeOf("assignment_refused"), RolloutDevice::REFUSED);
  EXPECT_EQ(CodeOf("artifact_unavailable"), RolloutDevice::ARTIFACT_UNAVAILABLE);
  EXPECT_EQ(CodeOf("state_damaged"), RolloutDevice::STATE_DAMAGED);
  EXPECT_EQ(CodeOf("something new"), RolloutDevice::OTHER);
}

// Report and tick in any order, doubled or late, from several threads at once: each device's last
// word counts, and the rollout ends.
TEST_F(PhasedTest, ReportsThatRaceWithCreationAndTicksLoseNothing) {
  const auto ids = EnrollDevices(4);
  for (int round = 0; round < 10; ++round) {
    std::atomic<bool> over = false;
    std::vector<std::thread> devices;
    for (const std::string& id : ids) {
      devices.emplace_back([&, id] {
        while (!over) {
          // As an agent: it does what the assignment says at once, and reports it.
          std::vector<ModelStatus> models;
          const auto assignments = Assignments(id);
          for (const AssignmentRecord& assigned : assignments) {
            models.emplace_back().set_model("demo");
            models.back().set_release(assigned.release);
            models.back().set_active_manifest(assigned.manifest_digest);
            models.back().set_phase(ModelStatus::HEALTHY);
          }
          EXPECT_OK(Report(id, models));
        }
      });
    }
    std::thread ticker([&] {
      while (!over) EXPECT_OK(rollouts_.Tick());
    });
    RolloutPlan plan = Canary();
    plan.set_max_in_flight(2);
    const Rollout rollout = Create(round % 2 ? plan : RolloutPlan());
    for (int i = 0; i < 20'000 && IsActive(Get(rollout).state()); ++i) std::this_thread::yield();
    EXPECT_EQ(Get(rollout).state(), Rollout::COMPLETED);
    over = true;
    for (std::thread& device : devices) device.join();
    ticker.join();
  }
}

// Random operators, devices and time over several rollouts of one model: never is a device under
// way in two of them, never is it assigned by a phase whose gate is closed, its releases only rise,
// and in the end everything ends.
TEST_F(PhasedTest, RandomEventsKeepTheInvariants) {
  const auto ids = EnrollDevices(5);
  const std::string second = PutArtifact("q4_0", 1, "v2");
  std::vector<std::string> names;
  std::map<std::string, uint64_t> released;
  std::mt19937_64 random(20261127);
  const auto below = [&random](size_t n) { return static_cast<size_t>(random() % n); };
  const auto check = [&] {
    std::map<std::string, int> under_way;
    const auto rollouts = Once(*store_)->rollouts().List().value();
    for (const Rollout& summary : rollouts) {
      const Rollout rollout = Get(summary);
      if (IsFinal(rollout.state()) || rollout.state() == Rollout::DRAFT) continue;
      for (const RolloutDevice& row : rollout.devices()) {
        const bool assigned = IsInFlight(row.state()) || row.state() == RolloutDevice::ROLLING_BACK;
        if (assigned || row.state() == RolloutDevice::QUEUED) ++under_way[row.device_id()];
        ASSERT_TRUE(!assigned || Assignments(row.device_id()).at(0).release == row.release())
            << rollout.name();
        if (row.release() == 0 || rollout.state() == Rollout::ROLLING_BACK) continue;
        ASSERT_TRUE(row.phase() < rollout.phase() ||
                    (row.phase() == rollout.phase() && rollout.phase_open()))
            << rollout.ShortDebugString();
      }
    }
    for (const auto& [id, count] : under_way)
      ASSERT_EQ(count, 1) << id << " is under way in two rollouts";
    for (const std::string& id : ids) {
      const auto assignments = Assignments(id);
      if (assignments.empty()) continue;
      ASSERT_GE(assignments[0].release, released[id]);
      released[id] = assignments[0].release;
    }
  };
  const auto report = [&](const std::string& id, size_t luck) {
    const auto assigned = Assignments(id);
    if (assigned.empty()) return Says(id, {});
    ModelStatus status;
    status.set_model("demo");
    status.set_release(assigned.at(0).release);
    const std::string& digest = assigned.at(0).manifest_digest;
    if (luck == 0) {
      status.set_phase(ModelStatus::FAILED);
      status.set_reason("health_failed");
    } else if (luck == 1) {
      status.set_phase(ModelStatus::DOWNLOADING);
    } else {
      status.set_phase(digest.empty() ? ModelStatus::REMOVED : ModelStatus::HEALTHY);
      status.set_active_manifest(digest);
    }
    Says(id, {status});
  };
  for (int i = 0; i < 400; ++i) {
    SCOPED_TRACE(i);
    switch (below(8)) {
      case 0: {
        RolloutPlan plan;
        if (below(2)) plan.add_phases()->set_count(static_cast<uint32_t>(1 + below(2)));
        auto& rest = *plan.add_phases();
        rest.set_approval(below(2) == 0);
        rest.set_soak_seconds(static_cast<uint32_t>(below(2) * 30));
        plan.set_max_in_flight(static_cast<uint32_t>(below(3)));
        plan.set_max_failures(static_cast<uint32_t>(below(2)));
        plan.set_on_failure(static_cast<RolloutPlan::OnFailure>(below(3)));
        plan.set_dynamic(below(2) == 0);
        plan.set_device_timeout_seconds(300);
        Rollouts::CreateRequest request{"", "demo", {}, {below(2) ? first_ : second}};
        request.plan = plan;
        request.draft = below(4) == 0;
        const auto made = rollouts_.Create(request);
        ASSERT_OK(made.status());
        names.push_back(made->name());
        break;
      }
      case 1:
        Pass(static_cast<int>(below(200)));
        break;
      case 2:
        if (!names.empty())
          rollouts_.Act(names[below(names.size())], static_cast<RolloutEvent>(1 + below(5)), "")
              .status()
              .IgnoreError();
        break;
      default:
        report(ids[below(ids.size())], below(5));
        break;
    }
    check();
    if (HasFatalFailure()) return;
  }
  for (int i = 0; i < 20; ++i) {
    for (const std::string& id : ids) report(id, 2);
    for (const std::string& name : names)
      for (const auto event : {RolloutEvent::kApprove, RolloutEvent::kResume})
        rollouts_.Act(name, event, "").status().IgnoreError();
    Pass(301);
    check();
    if (HasFatalFailure()) return;
  }
  EXPECT_THAT(*Once(*store_)->rollouts().ListActive(), IsEmpty());
}

}  // namespace
}  // namespace quantfleet::daemon
