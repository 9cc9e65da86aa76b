// What is accepted, what comes next, and how errors are sorted. The steps themselves are in
// updater_steps.cc.

#include "agent/update/updater.h"

#include "common/base/fail_point.h"
#include "common/base/outside_text.h"
#include "common/trust/runtime.h"
#include "pipeline/artifact/kind.h"

namespace quantfleet::agent {
namespace {

constexpr Duration kFirstRetry = std::chrono::milliseconds(500),
                   kMaxRetry = std::chrono::seconds(60);
// A device that was refused will not be accepted again within seconds.
constexpr Duration kFirstRetryRefused = std::chrono::seconds(30),
                   kMaxRetryRefused = std::chrono::minutes(15);

using Outcome = ModelRecord::Outcome;

}  // namespace

Updater::Updater(UpdateEnvironment& environment, std::string model, fs::path folder)
    : environment_(environment),
      model_(std::move(model)),
      slots_(environment.files, std::move(folder)) {
  status_.set_model(model_);
}

void Updater::Boot(std::stop_token stop) {
  auto record = LoadModelRecord(environment_.files, slots_.folder());
  if (!record.ok()) {
    // Without the counter nothing may be accepted that could be older; what runs keeps running.
    failed_ = true;
    record_ = {};
    Show(v1::ModelStatus::FAILED, Reason::kStateDamaged, Describe(record.status()));
  } else {
    record_ = *std::move(record);
  }
  const auto current = slots_.Current();
  const auto active = current ? slots_.Begun(*current) : std::nullopt;
  if (record_.outcome == Outcome::kRemoved && !current) Show(v1::ModelStatus::REMOVED);
  const bool proven =
      active && (active != record_.manifest || record_.outcome == Outcome::kHealthy);
  if (!proven) return;
  // What is large is checked while it runs: see Upkeep.
  if (IsSmall(*current) && LookForDamage(*current, stop).Is(Reason::kInterrupted)) return;
  const bool program = pipeline::KindOfModel(model_) == pipeline::ArtifactKind::kProgram;
  if (program && damage_) return;
  if (!TakeTurn(stop)) return;
  const Verdict started = StartProven(*current, stop);
  turn_.Release();
  if (program && started.Is(Reason::kHealthFailed) && active == record_.manifest) {
    // It is not asked twice: a program that passes its trial and dies later would come again.
    ModelRecord given_up = record_;
    Blame(given_up, started);
    if (!Save(given_up).ok()) record_ = given_up;
  }
  if (!started.ok()) return;  // Run tries again, or goes back
  reload_ = damage_.has_value();
  if (active != record_.manifest || failed_) return;
  ShowProgress(record_.progress);
  Show(v1::ModelStatus::HEALTHY, {}, record_.detail);
}

void Updater::Accept(const Assignment& assignment) {
  if (record_.release == 0 && failed_) return;  // the record is damaged: see Boot
  if (assignment.release < record_.release)
    return Refuse(Reason::kRollbackRefused,
                  fmt::format("release {} is below {}, the highest release accepted",
                              assignment.release, record_.release));
  if (assignment.release == record_.release) {
    if (assignment.manifest != record_.assigned)
      return Refuse(
          Reason::kAssignmentRefused,
          fmt::format("release {} was already accepted with another artifact", assignment.release));
    bool was_refused;
    {
      std::lock_guard lock(mutex_);
      was_refused = !refusal_.ok();
      refusal_ = {};
    }
    if (was_refused) environment_.on_change(status());
    return;
  }
  ModelRecord record;
  record.release = assignment.release;
  record.assigned = record.manifest = assignment.manifest;
  record.health = assignment.health;
  record.runtime = assignment.runtime;
  record.network = assignment.network;
  record.context = assignment.context;
  record.step_down = assignment.step_down;
  // What runs was proven, unless it is being proven now.
  record.ran_before = record.manifest && running_ == record.manifest &&
                      !(record_.manifest == record.manifest && record_.outcome == Outcome::kOpen);
  FailPoint("update-before-accept");
  Verdict saved = OfDisk(environment_.files.MakeFolder(slots_.folder()));
  if (saved.ok()) saved = Save(record);
  if (!saved.ok())
    return Refuse(saved.Is(Reason::kDiskFull) ? Reason::kDiskFull : Reason::kStateDamaged,
                  saved.detail());
  FailPoint("update-accepted");
  failed_ = false;
  verify_rounds_ = 0;
  artifact_.reset();
  soak_left_.reset();
  before_damage_.reset();
  std::lock_guard lock(mutex_);
  refusal_ = {};
}

void Updater::Refuse(Reason reason, std::string_view detail) {
  {
    std::lock_guard lock(mutex_);
    refusal_ = Verdict(reason, std::string(detail));
  }
  environment_.on_change(status());
}

void Updater::LookAfter() {
  if (!running_) return;
  const Verdict condition = environment_.host.Condition(model_);
  if (condition.ok()) return;
  if (condition.Is(Reason::kDamaged)) {
    checked_.reset();
    reload_ = true;
    if (!before_damage_) before_damage_ = status();
    return Show(v1::ModelStatus::VERIFYING, Reason::kDamaged, condition.detail());
  }
  if (!failed_ && record_.outcome == Outcome::kHealthy && running_ == record_.manifest) {
    ModelRecord record = record_;
    Blame(record, condition);
    // Where the disk refuses, the next start of the agent finds it healthy, and out again.
    if (!Save(record).ok()) record_ = record;
    return;
  }
  // It was the version to roll back to. Until the agent restarts, or another release comes, nothing
  // answers.
  environment_.host.Stop(model_);
  running_.reset();
  const v1::ModelStatus shown = status();
  Show(shown.phase(), ReasonNamed(shown.reason()),
       shown.detail() + "; the previous version failed too: " + condition.detail());
}

Updater::Step Updater::NextStep() {
  if (record_.release == 0 || failed_) return Step::kSettled;
  const auto current = slots_.Current();
  if (!record_.manifest)
    return record_.outcome == Outcome::kRemoved && !current && !running_ ? Step::kSettled
                                                                         : Step::kRemove;
  const bool is_current = current && slots_.Begun(*current) == record_.manifest;
  if (record_.outcome == Outcome::kHealthFailed) {
    if (is_current || (current && running_ != slots_.Begun(*current))) return Step::kRollBack;
    return CanStepDown() ? Step::kStepDown : Fail(Blamed(record_));
  }
  if (const Verdict allowed = environment_.host.MayRun(record_.runtime); !allowed.ok())
    return Fail(allowed);
  if (is_current) {
    if (running_ != record_.manifest) return BeforeProof();
    if (record_.outcome == Outcome::kHealthy) return Step::kSettled;
    return soak_left_ ? Step::kSoak : BeforeProof();
  }
  if (slots_.Verified(slots_.Idle()) != record_.manifest) return Step::kFetch;
  // What runs was checked, and a program that runs cannot be opened for writing.
  return running_ == record_.manifest ? Step::kSwitch : Step::kVerify;
}

bool Updater::NeedsTurn(Step step) {
  return step == Step::kProve || step == Step::kSoak || step == Step::kRollBack;
}

bool Updater::TakeTurn(std::stop_token stop) {
  // A program waits for the daemon, and for nothing that models share.
  if (turn_ || pipeline::KindOfModel(model_) == pipeline::ArtifactKind::kProgram) return true;
  turn_ = environment_.turns.Take(std::move(stop));
  return bool(turn_);
}

Tried<Updater::Step> Updater::Do(Step step, std::stop_token stop) {
  if (!NeedsTurn(step)) turn_.Release();
  if (NeedsTurn(step) && !TakeTurn(stop))
    return Setback(Reason::kInterrupted, "stopped before its turn");
  switch (step) {
    case Step::kFetch:
      return Fetch(stop);
    case Step::kVerify:
      return Verify(stop);
    case Step::kSwitch:
      return SwitchOver();
    case Step::kProve:
      return Prove(stop);
    case Step::kSoak:
      return Soak(stop);
    case Step::kRollBack:
      return RollBack(stop);
    case Step::kStepDown:
      return StepDown();
    case Step::kRemove:
      return Remove();
    case Step::kCheck:
      return Check(stop);
    case Step::kRepair:
      return Repair(stop);
    case Step::kSettled:
      break;
  }
  return Step::kSettled;
}

bool Updater::Run(std::stop_token stop) {
  const bool settled = RunSteps(std::move(stop));
  turn_.Release();
  return settled;
}

bool Updater::RunSteps(std::stop_token stop) {
  Backoff backoff(environment_.random, kFirstRetry, kMaxRetry);
  Backoff refused(environment_.random, kFirstRetryRefused, kMaxRetryRefused);
  uint64_t come = 0;
  beyond_repair_.reset();  // once in each run
  LookAfter();
  Step step = NextStep();
  while (step != Step::kSettled || (step = Upkeep()) != Step::kSettled) {
    // What was found of a version is written down first: whoever judged it may not be asked twice.
    if (stop.stop_requested() && step != Step::kRollBack) return false;
    Tried<Step> next = Do(step, stop);
    if (!next.ok() && !Passes(next.verdict().reason())) {
      if (step == Step::kCheck || step == Step::kRepair) GiveUpRepair();
      next = Fail(next.verdict());
    }
    if (next.ok()) {
      step = *next;
      continue;
    }
    turn_.Release();
    if (stop.stop_requested()) return false;
    ShowWaiting(next.verdict());
    const v1::ModelStatus shown = status();
    const uint64_t now_come = shown.bytes_done() + shown.bytes_pulled();
    if (now_come > come) backoff.Reset();
    come = now_come;
    const bool was_refused = next.verdict().Is(Reason::kDeviceRefused);
    if (!environment_.sleeper.Sleep(was_refused ? refused.Next() : backoff.Next(), stop))
      return false;
    step = NextStep();
  }
  return true;
}

Updater::Step Updater::Fail(const Verdict& why) {
  if (why.Is(Reason::kOverBudget)) {
    // What came is kept. An operator's word is a new release, and the days go by: see
    // UpdateWorker::LookAgain.
    Show(v1::ModelStatus::AWAITING_APPROVAL, why.reason(), why.detail());
    return Step::kSettled;
  }
  failed_ = true;
  artifact_.reset();
  Show(v1::ModelStatus::FAILED, why.reason(), why.detail());
  return Step::kSettled;
}

Verdict Updater::Save(const ModelRecord& record) {
  QF_RETURN_IF_SETBACK(OfDisk(SaveModelRecord(environment_.files, slots_.folder(), record)));
  record_ = record;
  return {};
}

v1::ModelStatus Updater::status() const {
  std::lock_guard lock(mutex_);
  v1::ModelStatus status = status_;
  if (!refusal_.ok()) {
    status.set_phase(v1::ModelStatus::FAILED);
    status.set_reason(std::string(NameOf(refusal_.reason())));
    status.set_detail(Shown(refusal_.detail(), kMaxDetail));
  }
  return status;
}

void Updater::Show(v1::ModelStatus::Phase phase, std::optional<Reason> why,
                   std::string_view detail) {
  const std::string reason(why ? NameOf(*why) : "");
  bool changed;
  {
    std::lock_guard lock(mutex_);
    const std::string endpoint = running_ ? environment_.host.endpoint(model_) : "";
    changed = status_.release() != record_.release || status_.phase() != phase ||
              status_.reason() != reason || status_.endpoint() != endpoint;
    status_.set_release(record_.release);
    status_.set_assigned_manifest(record_.assigned ? record_.assigned->raw() : "");
    status_.mutable_stepped_down()->Assign(record_.stepped_down.begin(),
                                           record_.stepped_down.end());
    status_.set_active_manifest(running_ ? running_->raw() : "");
    const auto told = [&](std::string_view word) {
      return running_ && (!runtime_ || trust::Names(*runtime_, word));
    };
    status_.set_context(told("{context}") ? context_.tokens() : 0);
    status_.set_kv_type(told("{kv_type}") ? context_.kv_type() : "");
    if (running_ && runtime_) {
      *status_.mutable_active_runtime() = *runtime_;
    } else {
      status_.clear_active_runtime();
    }
    status_.set_phase(phase);
    status_.set_reason(reason);
    status_.set_detail(Shown(detail, kMaxDetail));
    status_.set_endpoint(endpoint);
    status_.set_tokens_per_second(
        running_ && running_ == record_.manifest ? record_.tokens_per_second : 0);
  }
  if (changed) environment_.on_change(status());
}

void Updater::ShowProgress(const DownloadProgress& progress) {
  std::lock_guard lock(mutex_);
  status_.set_bytes_total(progress.total);
  status_.set_bytes_done(progress.done);
  status_.set_bytes_pulled(progress.pulled);
  status_.set_bytes_paid(progress.paid);
  status_.set_bytes_reused(progress.reused);
  if (status_.reason().empty()) status_.set_detail("");
}

void Updater::ShowWaiting(const Verdict& why) {
  std::lock_guard lock(mutex_);
  status_.set_detail(Shown("waiting to try again: " + why.detail(), kMaxDetail));
}

}  // namespace quantfleet::agent
