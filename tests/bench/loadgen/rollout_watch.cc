#include "tests/bench/loadgen/rollout_watch.h"

#include <algorithm>
#include <boost/json.hpp>
#include <cmath>
#include <thread>

#include "cli/remote_client.h"
#include "common/base/random.h"
#include "tests/bench/loadgen/outcomes.h"

namespace quantfleet::loadgen {
namespace {

using v1::RolloutDevice;

// Between looks, and at least nine times as long as one took: each reads every row.
constexpr auto kLeastWait = std::chrono::milliseconds(250);

// By the daemon's own counts: they are of one moment, the rows come page by page.
uint64_t CountIn(const v1::Rollout& rollout, std::initializer_list<RolloutDevice::State> states) {
  uint64_t devices = 0;
  for (const v1::RolloutCount& count : rollout.counts())
    if (std::ranges::find(states, count.state()) != states.end()) devices += count.devices();
  return devices;
}

uint64_t InFlight(const v1::Rollout& rollout) {
  return CountIn(rollout, {RolloutDevice::PENDING, RolloutDevice::IN_PROGRESS});
}

uint64_t Told(const v1::Rollout& rollout) {
  return static_cast<uint64_t>(std::ranges::count_if(
      rollout.devices(), [](const RolloutDevice& row) { return row.release() > 0; }));
}

bool IsOver(v1::Rollout::State state) {
  return state == v1::Rollout::COMPLETED || state == v1::Rollout::FAILED ||
         state == v1::Rollout::ABORTED || state == v1::Rollout::ROLLED_BACK;
}

// docs/guides/rollout.md: limits on failures.
bool Exceeds(const v1::Rollout& rollout, uint64_t failed, uint64_t executed) {
  const v1::RolloutPlan& plan = rollout.plan();
  failed -= std::min<uint64_t>(failed, rollout.forgiven_failed());
  executed -= std::min<uint64_t>(executed, rollout.forgiven_executed());
  executed = std::max(executed, failed);
  if (executed < std::max<uint64_t>(1, plan.min_executed())) return false;
  return (plan.has_max_failures() && failed > plan.max_failures()) ||
         (plan.has_max_failure_percent() && failed * 100 > executed * plan.max_failure_percent());
}

double SecondsSince(SteadyTime start) {
  return std::round(
             std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() *
             100) /
         100;
}

}  // namespace

Pause JudgePause(const v1::Rollout& rollout, uint64_t told_when_seen) {
  std::vector<std::pair<int64_t, bool>> through;  // when, and whether it failed
  for (const RolloutDevice& row : rollout.devices())
    if (row.state() == RolloutDevice::HEALTHY || row.state() == RolloutDevice::FAILED)
      through.emplace_back(row.finished_ms(), row.state() == RolloutDevice::FAILED);
  std::ranges::sort(through);
  Pause pause{.told_when_seen = told_when_seen, .told = Told(rollout)};
  for (size_t i = 0; i < through.size(); ++i) {
    ++pause.executed;
    pause.failed += through[i].second;
    // Rows of one millisecond have no order among themselves: judged behind the last of them.
    const bool last = i + 1 == through.size() || through[i + 1].first != through[i].first;
    if (last && pause.executed_at_limit == 0 && Exceeds(rollout, pause.failed, pause.executed))
      pause.executed_at_limit = pause.executed;
  }
  return pause;
}

absl::Status RolloutWatch::Create(const std::vector<Identity>& identities) {
  v1::CreateRolloutRequest request;
  SecureRandom random;
  request.set_request_id(random.Id("loadgen-"));
  request.set_model(options_.model);
  for (const Identity& identity : identities) request.add_device_ids(identity.device_id);
  QF_ASSIGN_OR_RETURN(*request.mutable_plan_toml(), RealFileSystem().ReadAll(options_.plan));
  cli::OperatorClient client(target_.admin);
  const SteadyTime start = std::chrono::steady_clock::now();
  for (;;) {
    auto made = client.CreateRollout(request);
    if (made.ok()) {
      rollout_ = *std::move(made);
      create_seconds_ = SecondsSince(start);
      return absl::OkStatus();
    }
    // It goes on there, and the same request has the same answer.
    if (made.status().code() != absl::StatusCode::kDeadlineExceeded ||
        SecondsSince(start) > options_.timeout_seconds)
      return Annotate(made.status(), "creating the rollout");
  }
}

absl::Status RolloutWatch::Look(cli::OperatorClient& client) {
  QF_ASSIGN_OR_RETURN(rollout_, client.GetRollout(rollout_.name()));
  most_in_flight_ = std::max(most_in_flight_, InFlight(rollout_));
  return absl::OkStatus();
}

absl::Status RolloutWatch::OpenGate(cli::OperatorClient& client) {
  v1::RolloutActionRequest request;
  request.set_name(rollout_.name());
  request.set_phase(rollout_.phase() + 1);
  gates_.insert(request.phase());
  return client.ApproveRollout(request).status();
}

absl::Status RolloutWatch::AfterPause(cli::OperatorClient& client) {
  if (!told_when_seen_) told_when_seen_ = Told(rollout_);
  if (InFlight(rollout_) > 0) return absl::OkStatus();
  v1::RolloutActionRequest request;
  request.set_name(rollout_.name());
  QF_RETURN_IF_ERROR(client.ResumeRollout(request).status());
  const Pause pause = JudgePause(rollout_, *told_when_seen_);
  told_when_seen_.reset();
  pauses_.push_back(pause);
  pause_reports_.push_back(boost::json::object{{"reason", rollout_.reason()},
                                               {"phase", rollout_.phase() + 1},
                                               {"executed_at_limit", pause.executed_at_limit},
                                               {"executed", pause.executed},
                                               {"failed", pause.failed},
                                               {"told", pause.told},
                                               {"overshoot", pause.overshoot()}});
  return absl::OkStatus();
}

absl::Status RolloutWatch::Act(cli::OperatorClient& client) {
  if (rollout_.state() == v1::Rollout::AWAITING_APPROVAL) return OpenGate(client);
  if (rollout_.state() == v1::Rollout::PAUSED) return AfterPause(client);
  told_when_seen_.reset();
  return absl::OkStatus();
}

absl::Status RolloutWatch::Steer() {
  cli::OperatorClient client(target_.admin);
  const SteadyTime start = std::chrono::steady_clock::now();
  for (;;) {
    const SteadyTime looked = std::chrono::steady_clock::now();
    absl::Status done = Look(client);
    const SteadyTime seen = std::chrono::steady_clock::now();
    if (done.ok() && IsOver(rollout_.state())) return absl::OkStatus();
    if (done.ok()) done = Act(client);
    // A daemon that has too much to do: what it did all the same is seen at the next look.
    const bool later = done.code() == absl::StatusCode::kUnavailable ||
                       done.code() == absl::StatusCode::kDeadlineExceeded;
    if (!done.ok() && !later) return done;
    if (SecondsSince(start) > options_.timeout_seconds)
      return DeadlineExceeded("{} is {} after {} s", rollout_.name(),
                              v1::Rollout::State_Name(rollout_.state()), options_.timeout_seconds);
    std::this_thread::sleep_until(seen +
                                  std::max<SteadyTime::duration>(kLeastWait, 9 * (seen - looked)));
  }
}

boost::json::object RolloutWatch::Report() const {
  return {{"rollout", rollout_.name()},
          {"state", v1::Rollout::State_Name(rollout_.state())},
          {"create_seconds", create_seconds_},
          {"healthy", CountIn(rollout_, {RolloutDevice::HEALTHY})},
          {"failed", CountIn(rollout_, {RolloutDevice::FAILED})},
          {"gates", gates_.size()},
          {"most_in_flight", most_in_flight_},
          {"max_in_flight", rollout_.plan().max_in_flight()},
          {"pauses", pause_reports_}};
}

std::vector<std::string> RolloutWatch::Violations() const {
  std::vector<std::string> violations;
  const uint64_t limit = rollout_.plan().max_in_flight();
  if (limit > 0 && most_in_flight_ > limit)
    violations.push_back(
        fmt::format("{} devices were under way, the plan allows {}", most_in_flight_, limit));
  for (const Pause& pause : pauses_) {
    if (pause.executed_at_limit == 0) violations.push_back("it paused, and no limit was exceeded");
    if (pause.told != pause.told_when_seen)
      violations.push_back(fmt::format("{} devices were told while it was paused",
                                       pause.told - pause.told_when_seen));
    if (limit > 0 && pause.overshoot() > limit)
      violations.push_back(
          fmt::format("overshoot {}, the plan allows {}", pause.overshoot(), limit));
  }
  if (rollout_.state() != v1::Rollout::COMPLETED)
    violations.push_back("it ended as " + v1::Rollout::State_Name(rollout_.state()));
  return violations;
}

}  // namespace quantfleet::loadgen
