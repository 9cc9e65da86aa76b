#include "daemon/rollout/machine.h"

#include <array>
#include <map>
#include <random>

#include "daemon/rollout/plan.h"
#include "tests/support/status_matchers.h"

namespace quantfleet::daemon {
namespace {

using ::testing::HasSubstr;
using testing::Names;
using v1::Rollout;
using v1::RolloutPlan;

class MachineTest : public ::testing::Test {
 protected:
  MachineTest() {
    rollout_.set_name("rollouts/1");
    rollout_.set_state(Rollout::RUNNING);
    rollout_.set_phase_open(true);
  }
  // Phases of so many devices, all queued.
  void Phases(std::vector<uint64_t> sizes) {
    counts_.clear();
    rollout_.mutable_plan()->clear_phases();
    for (const uint64_t n : sizes) {
      rollout_.mutable_plan()->add_phases();
      counts_.push_back({.queued = n});
    }
  }
  v1::RolloutPhase& Phase(int i) { return *rollout_.mutable_plan()->mutable_phases(i); }
  // Steps until nothing moves; assigned devices are under way afterwards.
  void Settle(RolloutEvent event = RolloutEvent::kTick) {
    for (int steps = 0; steps < 100; ++steps) {
      const auto decision = Decide(rollout_, counts_, now_, event);
      ASSERT_OK(decision.status());
      ASSERT_NE(decision->outcome, Decision::Outcome::kRefused) << decision->refusal;
      event = RolloutEvent::kTick;
      rollout_ = decision->rollout;
      rows_ = decision->rows == Decision::Rows::kKeep ? rows_ : decision->rows;
      uint64_t left = decision->assign;
      for (uint32_t p = 0; p <= rollout_.phase(); ++p) {
        const uint64_t n = std::min(left, counts_[p].queued);
        counts_[p].queued -= n;
        counts_[p].in_flight += n;
        left -= n;
      }
      ASSERT_EQ(left, 0u) << "told devices that are not there";
      if (decision->outcome == Decision::Outcome::kStays && decision->assign == 0) return;
    }
    FAIL() << "it never comes to rest";
  }
  void End(int phase, uint64_t healthy, uint64_t failed) {
    ASSERT_GE(counts_[phase].in_flight, healthy + failed);
    counts_[phase].in_flight -= healthy + failed;
    counts_[phase].healthy += healthy;
    counts_[phase].failed += failed;
    Settle();
  }
  std::string RefusalOf(RolloutEvent event) {
    const auto decision = Decide(rollout_, counts_, now_, event);
    if (!decision.ok()) return decision.status().ToString();
    return decision->outcome == Decision::Outcome::kRefused ? decision->refusal : "not refused";
  }
  void Pass(int seconds) {
    now_ += std::chrono::seconds(seconds);
    Settle();
  }

  Rollout rollout_;
  PhaseCounts counts_;
  Time now_ = FromUnixMillis(1'800'000'000'000);
  Decision::Rows rows_ = Decision::Rows::kKeep;
};

TEST_F(MachineTest, AllAtOnceTellsEverybodyAndEnds) {
  Phases({5});
  Settle();
  EXPECT_EQ(counts_[0].in_flight, 5u);
  End(0, 4, 0);
  EXPECT_EQ(rollout_.state(), Rollout::RUNNING);
  End(0, 1, 0);
  EXPECT_EQ(rollout_.state(), Rollout::COMPLETED);
  EXPECT_EQ(rollout_.finished_ms(), ToUnixMillis(now_));
}

TEST_F(MachineTest, AllAtOnceWithAFailureFails) {
  Phases({2});
  Settle();
  End(0, 1, 1);
  EXPECT_EQ(rollout_.state(), Rollout::FAILED);
}

TEST_F(MachineTest, PhasesFollowEachOther) {
  Phases({1, 2, 3});
  Settle();
  EXPECT_EQ(counts_[0].in_flight, 1u);
  EXPECT_EQ(counts_[1].in_flight, 0u);
  End(0, 1, 0);
  EXPECT_EQ(rollout_.phase(), 1u);
  End(1, 2, 0);
  End(2, 3, 0);
  EXPECT_EQ(rollout_.state(), Rollout::COMPLETED);
}

TEST_F(MachineTest, AtMostSoManyAreUnderWay) {
  Phases({5});
  rollout_.mutable_plan()->set_max_in_flight(2);
  Settle();
  EXPECT_EQ(counts_[0].in_flight, 2u);
  End(0, 1, 0);
  EXPECT_EQ(counts_[0].in_flight, 2u);
  EXPECT_EQ(counts_[0].queued, 2u);
}

TEST_F(MachineTest, SoaksAndGoesOnByTimeAlone) {
  Phases({1, 1});
  Phase(0).set_soak_seconds(60);
  Settle();
  End(0, 1, 0);
  EXPECT_EQ(rollout_.state(), Rollout::SOAKING);
  Pass(59);
  EXPECT_EQ(rollout_.state(), Rollout::SOAKING);
  Pass(1);
  EXPECT_EQ(rollout_.state(), Rollout::RUNNING);
  EXPECT_EQ(counts_[1].in_flight, 1u);
}

TEST_F(MachineTest, ASoakOfAClockThatWasAheadBeginsAnew) {
  Phases({1, 1});
  Phase(0).set_soak_seconds(60);
  Settle();
  End(0, 1, 0);
  rollout_.set_soak_ends_ms(rollout_.soak_ends_ms() + int64_t{400} * 86'400'000);
  Pass(1);
  EXPECT_EQ(rollout_.state(), Rollout::SOAKING);
  Pass(59);
  EXPECT_EQ(rollout_.state(), Rollout::SOAKING);
  Pass(1);
  EXPECT_EQ(rollout_.state(), Rollout::RUNNING);
}

TEST_F(MachineTest, ADeviceThatFailsWhileSoakingStopsIt) {
  Phases({2, 1});
  Phase(0).set_soak_seconds(60);
  Settle();
  End(0, 2, 0);
  counts_[0].healthy = counts_[0].failed = 1;
  Pass(60);
  EXPECT_EQ(rollout_.state(), Rollout::PAUSED);
  EXPECT_THAT(rollout_.reason(), Names("1 of 2", "100 %"));
  EXPECT_EQ(counts_[1].in_flight, 0u);
}

TEST_F(MachineTest, AClosedGateIsPassedByApprovalAlone) {
  Phases({1, 1});
  Phase(1).set_approval(true);
  Settle();
  End(0, 1, 0);
  EXPECT_EQ(rollout_.state(), Rollout::AWAITING_APPROVAL);
  Pass(100'000);
  Settle(RolloutEvent::kPause);
  Settle(RolloutEvent::kResume);
  EXPECT_EQ(rollout_.state(), Rollout::AWAITING_APPROVAL);
  EXPECT_EQ(counts_[1].queued, 1u);
  Settle(RolloutEvent::kApprove);
  EXPECT_EQ(counts_[1].in_flight, 1u);
}

TEST_F(MachineTest, TooManyFailuresDoWhatThePlanSays) {
  for (const auto& [choice, state, rows] :
       {std::tuple(RolloutPlan::PAUSE, Rollout::PAUSED, Decision::Rows::kKeep),
        std::tuple(RolloutPlan::ROLL_BACK, Rollout::ROLLING_BACK, Decision::Rows::kRollBack),
        std::tuple(RolloutPlan::ABORT, Rollout::ABORTED, Decision::Rows::kClose)}) {
    Phases({10});
    rollout_.set_state(Rollout::RUNNING);
    rows_ = Decision::Rows::kKeep;
    rollout_.mutable_plan()->set_max_failures(1);
    rollout_.mutable_plan()->set_max_in_flight(3);
    rollout_.mutable_plan()->set_on_failure(choice);
    Settle();
    End(0, 0, 1);
    EXPECT_EQ(rollout_.state(), Rollout::RUNNING);
    counts_[0].rolling_back = 1;  // the machine waits for it
    End(0, 0, 1);
    EXPECT_EQ(rollout_.state(), state);
    EXPECT_EQ(rows_, rows);
    EXPECT_THAT(rollout_.reason(), Names("failed devices: 2", "limit of 1"));
    EXPECT_GE(counts_[0].queued, 6u);
  }
}

TEST_F(MachineTest, AShareIsJudgedAfterAMinimum) {
  Phases({10});
  rollout_.mutable_plan()->set_max_failure_percent(30);
  rollout_.mutable_plan()->set_min_executed(4);
  Settle();
  End(0, 0, 2);
  End(0, 1, 0);
  EXPECT_EQ(rollout_.state(), Rollout::RUNNING);
  End(0, 1, 0);  // 2 of 4
  EXPECT_EQ(rollout_.state(), Rollout::PAUSED);
  Settle(RolloutEvent::kResume);
  EXPECT_EQ(rollout_.state(), Rollout::RUNNING) << "what had failed is forgiven";
  End(0, 5, 1);
  EXPECT_EQ(rollout_.state(), Rollout::COMPLETED) << rollout_.reason();
}

TEST_F(MachineTest, ADraftWaitsForApproval) {
  Phases({1});
  rollout_.set_state(Rollout::DRAFT);
  Pass(1000);
  EXPECT_EQ(rollout_.state(), Rollout::DRAFT);
  EXPECT_EQ(counts_[0].queued, 1u);
  Settle(RolloutEvent::kApprove);
  EXPECT_EQ(counts_[0].in_flight, 1u);
}

TEST_F(MachineTest, EventsThatDoNotFitAreRefusedAndRepeatedOnesAreNot) {
  Phases({1});
  EXPECT_THAT(RefusalOf(RolloutEvent::kApprove), HasSubstr("AWAITING_APPROVAL"));
  Settle(RolloutEvent::kPause);
  Settle(RolloutEvent::kPause);
  EXPECT_EQ(rollout_.state(), Rollout::PAUSED);
  Settle(RolloutEvent::kAbort);
  Settle(RolloutEvent::kAbort);
  EXPECT_THAT(RefusalOf(RolloutEvent::kResume), HasSubstr("PAUSED"));
  EXPECT_THAT(RefusalOf(RolloutEvent::kPause), HasSubstr("ABORTED"));
  Settle(RolloutEvent::kRollBack);
  EXPECT_EQ(rollout_.state(), Rollout::ROLLED_BACK);
}

// Every state and every event: one device is under way, and one on its way back.
TEST_F(MachineTest, EveryStateAndEventIsDecided) {
  using enum RolloutEvent;
  using Rows = Decision::Rows;
  constexpr RolloutEvent kEvents[] = {kTick, kPause, kResume, kApprove, kAbort, kRollBack, kJoin};
  struct Cell {
    Rollout::State to = Rollout::STATE_UNSPECIFIED;  // unspecified: refused
    Rows rows = Rows::kKeep;
  };
  const Cell no, pause{Rollout::PAUSED}, run{Rollout::RUNNING},
      begin{Rollout::RUNNING, Rows::kClaim}, wait{Rollout::AWAITING_APPROVAL},
      soak{Rollout::SOAKING}, draft{Rollout::DRAFT}, completed{Rollout::COMPLETED},
      failed{Rollout::FAILED}, aborted{Rollout::ABORTED}, abort{Rollout::ABORTED, Rows::kClose},
      rolling{Rollout::ROLLING_BACK}, back{Rollout::ROLLING_BACK, Rows::kRollBack},
      rolled{Rollout::ROLLED_BACK};
  const std::map<Rollout::State, std::array<Cell, std::size(kEvents)>> table = {
      //                            tick       pause  resume approve abort    roll back join
      {Rollout::DRAFT, {draft, no, no, begin, abort, no, no}},
      {Rollout::RUNNING, {run, pause, run, no, abort, back, run}},
      {Rollout::SOAKING, {run, pause, soak, no, abort, back, soak}},
      {Rollout::AWAITING_APPROVAL, {wait, pause, wait, run, abort, back, wait}},
      {Rollout::PAUSED, {pause, pause, run, no, abort, back, pause}},
      {Rollout::ROLLING_BACK, {rolling, no, no, no, no, rolling, no}},
      {Rollout::COMPLETED, {completed, no, no, no, no, back, run}},
      {Rollout::FAILED, {failed, no, no, no, no, back, no}},
      {Rollout::ABORTED, {aborted, no, no, no, aborted, back, no}},
      {Rollout::ROLLED_BACK, {rolled, no, no, no, no, rolled, no}},
  };
  ASSERT_EQ(table.size() + 1, static_cast<size_t>(Rollout::State_descriptor()->value_count()))
      << "a state has no row";
  Phases({0});
  counts_[0] = {.in_flight = 1, .rolling_back = 1};
  for (const auto& [state, cells] : table) {
    for (size_t i = 0; i < cells.size(); ++i) {
      SCOPED_TRACE(fmt::format("{}, event {}", Rollout::State_Name(state), i));
      rollout_.set_state(state);
      rollout_.set_phase_open(state != Rollout::AWAITING_APPROVAL && state != Rollout::DRAFT);
      rollout_.set_finished_ms(IsFinal(state) ? 1 : 0);
      const auto decision = Decide(rollout_, counts_, now_, kEvents[i]);
      ASSERT_OK(decision.status());
      const bool refused = cells[i].to == Rollout::STATE_UNSPECIFIED;
      const Rollout::State to = refused ? state : cells[i].to;
      EXPECT_EQ(decision->outcome, refused       ? Decision::Outcome::kRefused
                                   : to == state ? Decision::Outcome::kStays
                                                 : Decision::Outcome::kMoves);
      EXPECT_EQ(decision->rollout.state(), to);
      EXPECT_EQ(decision->rows, cells[i].rows);
      EXPECT_EQ(decision->refusal.empty(), !refused);
      EXPECT_EQ(decision->rollout.finished_ms() > 0, IsFinal(to)) << "the time of its end";
    }
  }
}

TEST_F(MachineTest, ItBeginsAsItsPlanSays) {
  for (const bool draft : {false, true})
    for (const bool approval : {false, true}) {
      Rollout rollout;
      rollout.mutable_plan()->add_phases()->set_approval(approval);
      Begin(rollout, draft, now_);
      EXPECT_EQ(rollout.state(), draft ? Rollout::DRAFT : Rollout::RUNNING);
      EXPECT_EQ(rollout.phase_open(), !approval);
      EXPECT_EQ(rollout.created_ms(), ToUnixMillis(now_));
      EXPECT_EQ(rollout.phase_opened_ms(), ToUnixMillis(now_));
    }
}

TEST_F(MachineTest, AGateIsNotReachedWaitsOrIsPassed) {
  Phases({1, 1, 1});
  rollout_.set_phase(1);
  for (const bool open : {true, false}) {
    rollout_.set_phase_open(open);
    EXPECT_EQ(GateOf(rollout_, 1), Gate::kPassed);
    EXPECT_EQ(GateOf(rollout_, 2), open ? Gate::kPassed : Gate::kWaits);
    EXPECT_EQ(GateOf(rollout_, 3), Gate::kNotReached);
  }
  rollout_.set_phase(0);
  rollout_.set_phase_open(true);
  rollout_.set_state(Rollout::DRAFT);
  EXPECT_EQ(GateOf(rollout_, 1), Gate::kWaits);
}

TEST_F(MachineTest, ADamagedRecordIsAnErrorAndNoCrash) {
  Phases({1});
  rollout_.set_phase(7);
  EXPECT_EQ(Decide(rollout_, counts_, now_, RolloutEvent::kTick).status().code(),
            absl::StatusCode::kInternal);
}

// Random plans, devices and operators: a gate is passed by approval alone, the limit on devices
// under way holds, nobody is assigned while paused, and once devices come to an end and operators
// approve, the rollout does too.
TEST_F(MachineTest, RandomEventsNeverPassAGateAndAlwaysEnd) {
  for (uint64_t seed = 0; seed < 400; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    const auto below = [&random](uint64_t n) { return random() % n; };
    rollout_ = {};
    rollout_.set_name("rollouts/1");
    rollout_.set_state(below(4) == 0 ? Rollout::DRAFT : Rollout::RUNNING);
    std::vector<uint64_t> sizes(1 + below(4));
    for (uint64_t& n : sizes) n = below(6);
    Phases(sizes);
    RolloutPlan plan = rollout_.plan();  // a copy: the rollout is replaced at each step
    for (v1::RolloutPhase& phase : *plan.mutable_phases()) {
      phase.set_soak_seconds(static_cast<uint32_t>(below(3) * 10));
      phase.set_approval(below(3) == 0);
    }
    rollout_.set_phase_open(!plan.phases(0).approval());
    plan.set_max_in_flight(static_cast<uint32_t>(below(4)));
    if (below(2)) plan.set_max_failures(static_cast<uint32_t>(below(3)));
    if (below(3) == 0) plan.set_success_percent(static_cast<uint32_t>(below(101)));
    plan.set_on_failure(static_cast<RolloutPlan::OnFailure>(below(3)));
    *rollout_.mutable_plan() = plan;
    uint64_t opened = plan.phases(0).approval() ? 0 : 1;  // phases that may have been assigned
    const auto settle = [&](RolloutEvent event) {
      const PhaseCounts before = counts_;
      const auto decision = Decide(rollout_, counts_, now_, event);
      ASSERT_OK(decision.status());
      if (decision->outcome == Decision::Outcome::kRefused) return;  // nothing happens
      const bool waits =
          rollout_.state() == Rollout::AWAITING_APPROVAL || rollout_.state() == Rollout::DRAFT;
      if (event == RolloutEvent::kApprove && waits)
        opened = std::max<uint64_t>(opened, rollout_.phase() + 1);
      Settle(event);
      while (opened <= rollout_.phase() && opened < sizes.size() &&
             !plan.phases(static_cast<int>(opened)).approval())
        ++opened;
      for (size_t p = 0; p < sizes.size(); ++p)
        ASSERT_TRUE(p < opened || counts_[p].queued == sizes[p])
            << "phase " << p << " was told before its gate opened";
      if (plan.max_in_flight() > 0) {
        ASSERT_LE(SumOf(counts_).in_flight, plan.max_in_flight());
      }
      if (rollout_.state() == Rollout::PAUSED && event == RolloutEvent::kPause) {
        ASSERT_EQ(SumOf(counts_).queued, SumOf(before).queued);
      }
    };
    const auto devices_end = [&](bool well) {
      for (PhaseCount& count : counts_) {
        if (count.in_flight == 0) continue;
        --count.in_flight;
        ++(well || below(4) ? count.healthy : count.failed);
      }
    };
    for (int i = 0; i < 60; ++i) {
      now_ += std::chrono::seconds(below(20));
      if (below(2)) devices_end(false);
      settle(std::array{RolloutEvent::kTick, RolloutEvent::kTick, RolloutEvent::kTick,
                        RolloutEvent::kApprove, RolloutEvent::kPause, RolloutEvent::kResume,
                        i > 40 ? RolloutEvent::kAbort : RolloutEvent::kTick}[below(7)]);
      if (HasFatalFailure()) return;
    }
    for (int i = 0; i < 100 && !IsFinal(rollout_.state()); ++i) {
      now_ += std::chrono::seconds(30);
      devices_end(true);
      for (PhaseCount& count : counts_) count.rolling_back = 0;
      settle(rollout_.state() == Rollout::PAUSED ? RolloutEvent::kResume : RolloutEvent::kApprove);
      settle(RolloutEvent::kTick);
      if (HasFatalFailure()) return;
    }
    ASSERT_TRUE(IsFinal(rollout_.state())) << rollout_.ShortDebugString();
  }
}

}  // namespace
}  // namespace quantfleet::daemon
