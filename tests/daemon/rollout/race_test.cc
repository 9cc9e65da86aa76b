// Reports, ticks and operators in any order.
#include <atomic>
#include <map>
#include <random>
#include <thread>

#include "daemon/rollout/row.h"
#include "tests/daemon/rollout/phased_fixture.h"
#include "tests/support/eventually.h"

namespace quantfleet::daemon {
namespace {

using ::testing::IsEmpty;
using v1::ModelStatus;
using v1::Rollout;
using v1::RolloutDevice;
using v1::RolloutPlan;

class RaceTest : public PhasedFixture {};

// Report and tick in any order, doubled or late, from several threads at once: each device's last
// word counts, and the rollout ends.
TEST_F(RaceTest, ReportsThatRaceWithCreationAndTicksLoseNothing) {
  const auto ids = EnrollDevices(4);
  for (int round = 0; round < 10 && !HasFailure(); ++round) {
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
    EXPECT_TRUE(testing::Eventually([&] { return !IsActive(Get(rollout).state()); }));
    EXPECT_EQ(Get(rollout).state(), Rollout::COMPLETED);
    over = true;
    for (std::thread& device : devices) device.join();
    ticker.join();
  }
}

// Random operators, devices and time over several rollouts of one model: never is a device under
// way in two of them, never is it assigned by a phase whose gate is closed, its releases only rise,
// and in the end everything ends.
TEST_F(RaceTest, RandomEventsKeepTheInvariants) {
  const auto ids = EnrollDevices(5);
  const std::string second = PutArtifact("iq4_nl", 1, "v2");
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
