// Several rollouts that want the same devices: priorities within a model and across models.
#include <random>

#include "daemon/rollout/row.h"
#include "tests/daemon/rollout/rollout_fixture.h"
#include "tests/daemon/store/once.h"
#include "tests/support/status_matchers.h"

namespace quantfleet::daemon {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::Names;
using ::testing::SizeIs;
using v1::ModelStatus;
using v1::Rollout;
using v1::RolloutDevice;
using v1::RolloutPlan;

constexpr const char* kModels[] = {"demo", "chat", "code"};

class ClaimTest : public RolloutFixture {
 protected:
  ClaimTest() {
    for (const char* model : kModels) {
      PutModel(model);
      PutArtifact("iq4_nl", 1, model, model);
    }
  }
  absl::StatusOr<Rollout> Try(const std::string& model, int priority, RolloutPlan plan = {},
                              bool draft = false) {
    Rollouts::CreateRequest request{"", model, {}, {}};
    request.plan = std::move(plan);
    request.plan.set_priority(priority);
    request.draft = draft;
    return rollouts_.Create(request);
  }
  Rollout Make(const std::string& model, int priority = 0, RolloutPlan plan = {},
               bool draft = false) {
    const auto made = Try(model, priority, std::move(plan), draft);
    EXPECT_OK(made.status());
    return made.ok() ? *made : Rollout();
  }
  RolloutDevice RowOf(const Rollout& rollout, const std::string& id) {
    return Row(Get(rollout), id);
  }
  RolloutDevice::State StateOf(const Rollout& rollout, const std::string& id) {
    return RowOf(rollout, id).state();
  }
  void End(const Rollout& rollout, const std::string& id,
           ModelStatus::Phase phase = ModelStatus::HEALTHY) {
    Says(id, {Status(RowOf(rollout, id), phase, phase == ModelStatus::FAILED ? "health_failed" : "",
                     rollout.model())});
  }
  static RolloutPlan Dynamic() {
    RolloutPlan plan;
    plan.set_dynamic(true);
    return plan;
  }
};

// ---- one model

TEST_F(ClaimTest, ALowerPriorityLeavesDevicesWhereTheyAre) {
  const auto ids = EnrollDevices(2);
  Rollouts::CreateRequest request{"", "demo", {ids[0]}, {}};
  request.plan.set_priority(5);
  const auto urgent = rollouts_.Create(request);
  ASSERT_OK(urgent.status());
  const Rollout later = Make("demo", 4);
  EXPECT_EQ(StateOf(*urgent, ids[0]), RolloutDevice::PENDING);
  const RolloutDevice left = RowOf(later, ids[0]);
  EXPECT_EQ(left.state(), RolloutDevice::SKIPPED);
  EXPECT_EQ(left.code(), RolloutDevice::OUTRANKED);
  EXPECT_THAT(left.reason(), Names(urgent->name(), "priority 5"));
  EXPECT_EQ(StateOf(later, ids[1]), RolloutDevice::PENDING);
  // Nothing is left for this one.
  request.plan.set_priority(0);
  EXPECT_ERROR(rollouts_.Create(request), kFailedPrecondition, urgent->name());
  // As much is enough.
  const Rollout equal = Make("demo", 5);
  EXPECT_EQ(RowOf(*urgent, ids[0]).code(), RolloutDevice::SUPERSEDED);
  EXPECT_EQ(StateOf(equal, ids[0]), RolloutDevice::PENDING);
}

TEST_F(ClaimTest, ADeviceThatIsThroughIsKeptUntilTheRolloutIsOver) {
  const auto ids = EnrollDevices(1);
  RolloutPlan plan;
  plan.add_phases()->set_soak_seconds(60);
  const Rollout urgent = Make("demo", 1, plan);
  End(urgent, ids[0]);
  ASSERT_EQ(Get(urgent).state(), Rollout::SOAKING);
  EXPECT_ERROR(Try("demo", 0), kFailedPrecondition, "outranked");
  Pass(61);
  ASSERT_EQ(Get(urgent).state(), Rollout::COMPLETED);
  EXPECT_EQ(StateOf(Make("demo"), ids[0]), RolloutDevice::PENDING);
}

TEST_F(ClaimTest, ADynamicRolloutTakesItsDevicesWhenTheOtherIsOver) {
  const auto ids = EnrollDevices(1);
  const Rollout urgent = Make("demo", 1);
  const Rollout patient = Make("demo", 0, Dynamic());
  EXPECT_EQ(RowOf(patient, ids[0]).code(), RolloutDevice::OUTRANKED);
  EXPECT_EQ(Get(patient).state(), Rollout::COMPLETED);
  Says(ids[0], {});
  EXPECT_EQ(RowOf(patient, ids[0]).code(), RolloutDevice::OUTRANKED);
  End(urgent, ids[0]);
  ASSERT_EQ(Get(urgent).state(), Rollout::COMPLETED);
  Says(ids[0], {});
  EXPECT_EQ(StateOf(patient, ids[0]), RolloutDevice::PENDING);
  EXPECT_EQ(Get(patient).state(), Rollout::RUNNING);
}

TEST_F(ClaimTest, OfDynamicRolloutsTheOneUnderWayWithTheHighestPriorityTakesWhoComes) {
  EnrollDevices(1);
  const Rollout urgent = Make("demo", 1, Dynamic());
  Rollouts::CreateRequest request{"", "demo", {}, {}};
  request.plan = Dynamic();
  request.selector = {{"site", "lab"}};
  const auto newer = rollouts_.Create(request);
  ASSERT_OK(newer.status());
  const auto late = EnrollDevices(1);
  ASSERT_OK(fleet_.Label(late[0], {{"site", "lab"}}, {}).status());
  Says(late[0], {});
  EXPECT_EQ(StateOf(urgent, late[0]), RolloutDevice::PENDING);
  EXPECT_EQ(Get(*newer).devices_size(), 0);
  const Rollout under_way = Get(urgent);
  for (const RolloutDevice& row : under_way.devices()) End(urgent, row.device_id());
  ASSERT_EQ(Get(urgent).state(), Rollout::COMPLETED);
  Says(late[0], {});
  EXPECT_EQ(StateOf(*newer, late[0]), RolloutDevice::PENDING) << "over, it outranks nobody";
}

TEST_F(ClaimTest, ADraftIsWeighedWhenItBegins) {
  const auto ids = EnrollDevices(1);
  const Rollout draft = Make("demo", 0, {}, /*draft=*/true),
                second = Make("demo", 0, {}, /*draft=*/true);
  const Rollout urgent = Make("demo", 1);
  EXPECT_EQ(StateOf(draft, ids[0]), RolloutDevice::QUEUED);
  Act(draft, RolloutEvent::kApprove);
  EXPECT_EQ(RowOf(draft, ids[0]).code(), RolloutDevice::OUTRANKED);
  End(urgent, ids[0]);
  Act(second, RolloutEvent::kApprove);
  EXPECT_EQ(StateOf(second, ids[0]), RolloutDevice::PENDING);
}

// ---- several models

TEST_F(ClaimTest, ADeviceIsToldByOneRolloutAtATime) {
  const auto ids = EnrollDevices(2);
  const Rollout first = Make("demo");
  const Rollout low = Make("chat"), high = Make("code", 1);
  for (const Rollout& waits : {low, high}) {
    EXPECT_THAT(In(Get(waits), RolloutDevice::QUEUED), SizeIs(2));
    EXPECT_EQ(RowOf(waits, ids[0]).reason(), "waits: the device is in flight in " + first.name());
  }
  End(first, ids[0], ModelStatus::FAILED);
  EXPECT_EQ(StateOf(high, ids[0]), RolloutDevice::PENDING);
  EXPECT_EQ(StateOf(low, ids[0]), RolloutDevice::QUEUED);
  EXPECT_EQ(StateOf(high, ids[1]), RolloutDevice::QUEUED);
  End(high, ids[0]);
  EXPECT_EQ(StateOf(low, ids[0]), RolloutDevice::PENDING);
}

TEST_F(ClaimTest, OfEqualsTheOlderIsFirst) {
  const auto ids = EnrollDevices(1);
  const Rollout first = Make("demo"), older = Make("chat"), newer = Make("code");
  End(first, ids[0]);
  EXPECT_EQ(StateOf(older, ids[0]), RolloutDevice::PENDING);
  EXPECT_EQ(StateOf(newer, ids[0]), RolloutDevice::QUEUED);
}

TEST_F(ClaimTest, WhoMayNotTellKeepsNobodyWaiting) {
  const auto ids = EnrollDevices(1);
  const Rollout first = Make("demo"), low = Make("chat"), high = Make("code", 1);
  Act(high, RolloutEvent::kPause);
  End(first, ids[0]);
  EXPECT_EQ(StateOf(low, ids[0]), RolloutDevice::PENDING);
  Act(high, RolloutEvent::kResume);
  EXPECT_EQ(StateOf(high, ids[0]), RolloutDevice::QUEUED);
}

TEST_F(ClaimTest, WhoWaitsDoesNotHoldUpTheOthers) {
  const auto ids = EnrollDevices(3);
  Rollouts::CreateRequest request{"", "demo", {ids[0], ids[1]}, {}};
  ASSERT_OK(rollouts_.Create(request).status());
  RolloutPlan plan;
  plan.set_max_in_flight(1);
  EXPECT_EQ(StateOf(Make("chat", 0, plan), ids[2]), RolloutDevice::PENDING);
}

TEST_F(ClaimTest, ADeviceWhoseTimeIsUpIsFreeForWhoComesFirst) {
  const auto ids = EnrollDevices(1);
  RolloutPlan plan;
  plan.set_device_timeout_seconds(60);
  const Rollout first = Make("demo", -1, plan), high = Make("chat", 1), low = Make("code");
  Act(first, RolloutEvent::kPause);
  Pass(61);
  EXPECT_EQ(StateOf(first, ids[0]), RolloutDevice::FAILED);
  EXPECT_EQ(StateOf(high, ids[0]), RolloutDevice::PENDING);
  EXPECT_EQ(StateOf(low, ids[0]), RolloutDevice::QUEUED);
}

TEST_F(ClaimTest, TheWayBackWaitsForNobodyAndIsWaitedFor) {
  const auto ids = EnrollDevices(1);
  const Rollout first = Make("demo");
  End(first, ids[0]);
  const Rollout second = Make("chat");
  Act(first, RolloutEvent::kRollBack);
  EXPECT_EQ(StateOf(first, ids[0]), RolloutDevice::ROLLING_BACK);
  End(second, ids[0]);
  const Rollout third = Make("code");
  EXPECT_EQ(StateOf(third, ids[0]), RolloutDevice::QUEUED);
  Says(ids[0], {Status(RowOf(first, ids[0]), ModelStatus::REMOVED)});
  EXPECT_EQ(Get(first).state(), Rollout::ROLLED_BACK);
  EXPECT_EQ(StateOf(third, ids[0]), RolloutDevice::PENDING);
}

TEST_F(ClaimTest, SupersedingFreesTheDeviceForWhoComesFirst) {
  const auto ids = EnrollDevices(1);
  const Rollout first = Make("demo"), high = Make("chat", 1);
  const Rollout newer = Make("demo");
  EXPECT_EQ(RowOf(first, ids[0]).code(), RolloutDevice::SUPERSEDED);
  EXPECT_EQ(StateOf(high, ids[0]), RolloutDevice::PENDING);
  EXPECT_EQ(StateOf(newer, ids[0]), RolloutDevice::QUEUED);
}

// Random operators, devices and time over rollouts of three models with priorities: no device is
// assigned by two of them at once, none is taken from a higher priority, nobody is assigned while
// it is on its way back, and in the end everything ends.
TEST_F(ClaimTest, RandomRolloutsNeverShareADeviceAndAlwaysEnd) {
  const auto ids = EnrollDevices(4);
  std::mt19937_64 random(20261128);
  const auto below = [&random](size_t n) { return static_cast<size_t>(random() % n); };
  std::vector<std::string> names;
  std::map<std::string, int> priorities;
  std::map<std::pair<std::string, std::string>, RolloutDevice::State>
      before;  // by device and rollout
  const auto check = [&] {
    std::map<std::pair<std::string, std::string>, RolloutDevice::State> now;
    std::map<std::string, std::vector<std::string>> assigned, returning;
    for (const std::string& name : names) {
      const Rollout rollout = Once(*store_)->rollouts().Get(name).value();
      for (const RolloutDevice& row : rollout.devices()) {
        now[{row.device_id(), name}] = row.state();
        if (IsInFlight(row.state())) assigned[row.device_id()].push_back(name);
        if (row.state() == RolloutDevice::ROLLING_BACK) returning[row.device_id()].push_back(name);
        if (row.code() != RolloutDevice::SUPERSEDED) continue;
        const std::string newer = row.reason().substr(row.reason().find("rollouts/"));
        ASSERT_GE(priorities.at(newer), priorities.at(name)) << row.reason();
      }
    }
    for (const auto& [id, by] : assigned) {
      ASSERT_THAT(by, SizeIs(1)) << id << " is told by several";
      const bool fresh = !IsInFlight(before[std::pair(id, by[0])]);
      for (const std::string& back : returning[id])
        ASSERT_TRUE(!fresh || before[std::pair(id, back)] != RolloutDevice::ROLLING_BACK)
            << id << " was told by " << by[0] << " on its way back in " << back;
    }
    before = std::move(now);
  };
  const auto report = [&](const std::string& id, size_t luck) {
    std::vector<ModelStatus> models;
    const std::vector<AssignmentRecord> assignments = Assignments(id);
    for (const AssignmentRecord& assigned : assignments) {
      ModelStatus& status = models.emplace_back();
      status.set_model(assigned.model);
      status.set_release(assigned.release);
      status.set_phase(luck == 0                          ? ModelStatus::FAILED
                       : luck == 1                        ? ModelStatus::DOWNLOADING
                       : assigned.manifest_digest.empty() ? ModelStatus::REMOVED
                                                          : ModelStatus::HEALTHY);
      if (luck == 0) status.set_reason("health_failed");
      if (luck > 1) status.set_active_manifest(assigned.manifest_digest);
    }
    Says(id, models);
  };
  const auto act = [&](RolloutEvent event) {
    if (!names.empty()) rollouts_.Act(names[below(names.size())], event, "").status().IgnoreError();
  };
  for (int i = 0; i < 300; ++i) {
    SCOPED_TRACE(i);
    switch (below(8)) {
      case 0: {
        RolloutPlan plan;
        if (below(2)) plan.add_phases()->set_count(static_cast<uint32_t>(1 + below(2)));
        auto& rest = *plan.add_phases();
        rest.set_approval(below(3) == 0);
        rest.set_soak_seconds(static_cast<uint32_t>(below(2) * 30));
        plan.set_max_in_flight(static_cast<uint32_t>(below(3)));
        plan.set_max_failures(static_cast<uint32_t>(below(3)));
        plan.set_on_failure(static_cast<RolloutPlan::OnFailure>(below(3)));
        plan.set_dynamic(below(3) == 0);
        plan.set_device_timeout_seconds(300);
        const auto made =
            Try(kModels[below(3)], static_cast<int>(below(3)) - 1, std::move(plan), below(4) == 0);
        if (!made.ok()) {
          ASSERT_THAT(Message(made.status()), HasSubstr("outranked"));
          break;
        }
        names.push_back(made->name());
        priorities[made->name()] = made->plan().priority();
        break;
      }
      case 1:
        Pass(static_cast<int>(below(200)));
        break;
      case 2:
        act(static_cast<RolloutEvent>(1 + below(5)));
        break;
      default:
        report(ids[below(ids.size())], below(5));
        break;
    }
    check();
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(names.size(), 20u);
  for (int i = 0; i < 40 && !Once(*store_)->rollouts().ListActive()->empty(); ++i) {
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
