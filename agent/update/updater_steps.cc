// The steps of an update, one function each.

#include <google/protobuf/util/message_differencer.h>

#include <algorithm>
#include <limits>

#include "agent/update/meter.h"
#include "agent/update/updater.h"
#include "common/base/fail_point.h"
#include "common/base/outside_text.h"
#include "pipeline/artifact/evaluation.h"
#include "pipeline/artifact/memory.h"

namespace quantfleet::agent {
namespace {

// A slot that keeps failing its check is on a disk that does not keep its data.
constexpr int kMaxVerifyRounds = 3;
constexpr uint32_t kMaxAttempts = 5;
constexpr Duration kSoakStep = std::chrono::seconds(5);  // between two looks at what soaks

using Outcome = ModelRecord::Outcome;

// Why an activation does not count.
std::string_view ReasonOf(const absl::Status& error) {
  switch (error.code()) {
    case absl::StatusCode::kDeadlineExceeded:
      return kTooSlow;
    case absl::StatusCode::kResourceExhausted:
      return kOutOfMemory;
    default:
      return kHealthFailed;
  }
}

}  // namespace

absl::Status Updater::GetArtifact() {
  if (artifact_) return absl::OkStatus();
  v1::GetDeviceArtifactRequest request;
  request.set_manifest_digest(record_.manifest->raw());
  auto artifact = environment_.get_artifact(request);
  if (artifact.ok()) {
    artifact_ = *std::move(artifact);
    return absl::OkStatus();
  }
  // Of the network, not of the disk.
  if (artifact.status().code() == absl::StatusCode::kResourceExhausted)
    return Unavailable("{}", Message(artifact.status()));
  return artifact.status();
}

absl::StatusOr<Downloader> Updater::OpenDownloader() {
  const Slot idle = slots_.Idle();
  Downloader::Job job{.files = slots_.FilesOf(idle),
                      .journal = slots_.JournalOf(idle),
                      .manifest = {},
                      .stored = {},
                      .running = {},
                      .release = record_.release};
  QF_ASSIGN_OR_RETURN(job.manifest, slots_.ManifestOf(idle));
  if (artifact_) job.stored.assign(artifact_->stored().begin(), artifact_->stored().end());
  if (const auto current = slots_.Current())
    if (auto manifest = slots_.ManifestOf(*current); manifest.ok())
      job.running = Downloader::Source{slots_.FilesOf(*current), *std::move(manifest)};
  return Downloader::Open(environment_.files, std::move(job),
                          [this](const DownloadProgress& progress) { ShowProgress(progress); });
}

absl::StatusOr<Updater::Step> Updater::Fetch(std::stop_token stop) {
  const v1::ModelStatus shown = status();
  const bool goes_on =
      shown.release() == record_.release && (shown.phase() == v1::ModelStatus::DOWNLOADING ||
                                             shown.phase() == v1::ModelStatus::AWAITING_APPROVAL);
  if (!goes_on) {
    ShowProgress({});
    Show(v1::ModelStatus::DOWNLOADING);
  }
  QF_RETURN_IF_ERROR(GetArtifact());
  const auto manifest = ReadArtifact(*artifact_, *record_.manifest, environment_.trust_root());
  if (!manifest.ok()) return Fail(kVerifyFailed, Message(manifest.status()));
  const Slot idle = slots_.Idle();
  QF_RETURN_IF_ERROR(slots_.Begin(idle, artifact_->manifest()));
  QF_RETURN_IF_ERROR(slots_.KeepEvaluations(
      idle, ReadEvaluations(*artifact_, *record_.manifest, environment_.trust_root())));
  QF_ASSIGN_OR_RETURN(Downloader downloader, OpenDownloader());
  Meter meter(record_.network, environment_.budget, environment_.clock, environment_.sleeper, stop);
  ShowProgress(downloader.progress());
  std::string why_not = meter.WhyNot(downloader.ToPull());
  if (why_not.empty()) {
    Show(v1::ModelStatus::DOWNLOADING);
    const absl::Status fetched = downloader.Fetch(environment_.blobs, meter.pull(), stop);
    if (fetched.ok()) return Step::kVerify;
    if (!meter.refused()) return fetched;
    why_not = Message(fetched);
  }
  // What has arrived is kept. An operator's permission is a new release, and days pass: see
  // UpdateWorker::LookAgain.
  Show(v1::ModelStatus::AWAITING_APPROVAL, kOverBudget, why_not);
  return Step::kSettled;
}

absl::StatusOr<Updater::Step> Updater::Verify(std::stop_token stop) {
  Show(v1::ModelStatus::VERIFYING);
  const Slot idle = slots_.Idle();
  QF_ASSIGN_OR_RETURN(Downloader downloader, OpenDownloader());
  ShowProgress(downloader.progress());
  QF_ASSIGN_OR_RETURN(const size_t damaged, downloader.Verify(stop));
  if (damaged > 0) {
    QF_RETURN_IF_ERROR(slots_.UnmarkVerified(idle));
    if (++verify_rounds_ >= kMaxVerifyRounds)
      return Fail(kVerifyFailed, fmt::format("chunks damaged on this disk: {}", damaged));
    return Step::kFetch;
  }
  QF_RETURN_IF_ERROR(slots_.MarkVerified(idle, *record_.manifest));
  ModelRecord record = record_;
  record.progress = downloader.progress();
  QF_RETURN_IF_ERROR(Save(record));
  return Step::kSwitch;
}

absl::StatusOr<Updater::Step> Updater::SwitchOver() {
  Show(v1::ModelStatus::ACTIVATING);
  FailPoint("update-before-switch");
  QF_RETURN_IF_ERROR(slots_.Switch(slots_.Idle()));
  FailPoint("update-after-switch");
  return Step::kProve;
}

absl::StatusOr<v1::ContextPolicy> Updater::ChooseContext(Slot slot) const {
  QF_ASSIGN_OR_RETURN(const v1::Manifest manifest, slots_.ManifestOf(slot));
  const v1::Memory memory = pipeline::MemoryOf(manifest);
  // Of an older manifest the terms are a guess, good enough to choose devices by; and a program has
  // none.
  if (!manifest.requirements().has_memory() || memory.caches().empty()) return record_.context;
  const uint64_t available = environment_.host.MemoryFor(model_);
  QF_ASSIGN_OR_RETURN(
      const pipeline::MemoryNeed need,
      pipeline::FitContext(memory, record_.context,
                           available == 0 ? std::numeric_limits<uint64_t>::max() : available));
  v1::ContextPolicy chosen;
  chosen.set_tokens(need.context);
  chosen.set_kv_type(need.kv_type);
  return chosen;
}

absl::StatusOr<Health> Updater::Start(Slot slot, const std::optional<v1::Runtime>& runtime,
                                      const v1::ContextPolicy& context, const HealthGate& gate,
                                      std::stop_token stop) {
  Installed installed{.files = slots_.FilesOf(slot),
                      .manifest = {},
                      .runtime = runtime,
                      .context = context.tokens(),
                      .kv_type = context.kv_type()};
  QF_ASSIGN_OR_RETURN(installed.manifest, slots_.ManifestOf(slot));
  QF_RETURN_IF_ERROR(environment_.host.MayRun(runtime));
  QF_ASSIGN_OR_RETURN(const Health health, environment_.host.Start(model_, installed, gate, stop));
  running_ = slots_.Begun(slot);
  runtime_ = runtime;
  context_ = context;
  return health;
}

absl::Status Updater::StartProven(Slot slot, std::stop_token stop) {
  const auto runtime = slots_.RuntimeOf(slot);
  if (!runtime.ok() && runtime.status().code() != absl::StatusCode::kNotFound)
    return runtime.status();
  QF_ASSIGN_OR_RETURN(const v1::ContextPolicy context, slots_.ContextOf(slot));
  return Start(slot, runtime.ok() ? *runtime : std::nullopt, context, {}, stop).status();
}

void Updater::Blame(ModelRecord& record, const absl::Status& why) {
  record.outcome = Outcome::kHealthFailed;
  record.reason = ReasonOf(why);
  record.detail = Describe(why);
}

HealthGate Updater::GateOf(Slot slot, const v1::ContextPolicy& context) const {
  HealthGate gate{.policy = record_.health, .golden = {}};
  const auto manifest = slots_.ManifestOf(slot);
  if (!manifest.ok()) return gate;
  const v1::Evaluations kept = slots_.EvaluationsOf(slot);
  const std::vector<v1::EvaluationStatement> evaluations(kept.evaluations().begin(),
                                                         kept.evaluations().end());
  if (const auto* evaluation = pipeline::PickEvaluation(evaluations, pipeline::MemoryOf(*manifest),
                                                        context.tokens(), context.kv_type()))
    gate.golden.assign(evaluation->golden().begin(), evaluation->golden().end());
  return gate;
}

absl::StatusOr<Updater::Step> Updater::Prove(std::stop_token stop) {
  Show(v1::ModelStatus::ACTIVATING);
  const Slot current = *slots_.Current();
  if (record_.attempts >= kMaxAttempts) {
    prove_error_ = ResourceExhausted(
        "the agent ended {} times while activating this version; most likely the system ran out of "
        "memory",
        record_.attempts);
    return Step::kRollBack;
  }
  // Recorded before: a system that runs out of memory kills without warning.
  QF_RETURN_IF_ERROR(CountAttempt(record_.attempts + 1));
  const absl::StatusOr<v1::ContextPolicy> context = ChooseContext(current);
  if (!context.ok()) {
    prove_error_ = context.status();
    return Step::kRollBack;
  }
  const HealthGate gate = GateOf(current, *context);
  const absl::StatusOr<Health> health = Start(current, record_.runtime, *context, gate, stop);
  if (health.status().code() == absl::StatusCode::kCancelled) {
    QF_RETURN_IF_ERROR(CountAttempt(record_.attempts - 1));
    return health.status();
  }
  if (!health.ok()) {
    prove_error_ = health.status();
    return Step::kRollBack;
  }
  record_.detail.clear();
  const auto note = [&](const std::string& text) {
    record_.detail += (record_.detail.empty() ? "" : "; ") + text;
  };
  if (context->tokens() < record_.context.tokens())
    note(fmt::format("the context is {} tokens instead of {}: there is not enough memory for more",
                     context->tokens(), record_.context.tokens()));
  if (gate.golden.empty() && gate.policy.min_golden_agreement() > 0 &&
      !slots_.EvaluationsOf(current).evaluations().empty())
    note("the golden answers were made with another context length and were not checked");
  if (!health->note.empty()) note(health->note);
  record_.tokens_per_second = health->tokens_per_second;
  if (record_.health.soak_seconds() == 0) return Commit();
  soak_left_ = std::chrono::seconds(record_.health.soak_seconds());
  return Step::kSoak;
}

absl::Status Updater::CountAttempt(uint32_t attempts) {
  ModelRecord record = record_;
  record.attempts = attempts;
  return Save(record);
}

absl::StatusOr<Updater::Step> Updater::Soak(std::stop_token stop) {
  Show(v1::ModelStatus::SOAKING);
  const HealthGate gate = GateOf(*slots_.Current(), context_);
  // The time already waited counts: an assignment for another model may interrupt, while an agent
  // that restarts begins again.
  while (*soak_left_ > Duration(0)) {
    const Duration step = std::min(kSoakStep, *soak_left_);
    if (!environment_.sleeper.Sleep(step, stop)) return Cancelled("the soak time was interrupted");
    const absl::Status still = environment_.host.StillHealthy(model_, gate, stop);
    if (still.code() == absl::StatusCode::kCancelled) return still;
    if (!still.ok()) {
      prove_error_ = Annotate(still, "during the soak time");
      soak_left_.reset();
      return Step::kRollBack;
    }
    *soak_left_ -= step;
  }
  return Commit();
}

absl::StatusOr<Updater::Step> Updater::Commit() {
  const Slot current = *slots_.Current();
  ModelRecord record = record_;
  record.outcome = Outcome::kHealthy;
  record.attempts = 0;
  record.reason.clear();
  if (record.progress.total == 0) {
    // An artifact that was current before this release: nothing had to move.
    QF_ASSIGN_OR_RETURN(const v1::Manifest manifest, slots_.ManifestOf(current));
    for (const v1::ArtifactFile& file : manifest.files()) record.progress.total += file.size();
    record.progress.done = record.progress.reused = record.progress.total;
  }
  QF_RETURN_IF_ERROR(slots_.KeepContext(current, context_));
  QF_RETURN_IF_ERROR(slots_.KeepRuntime(current, record_.runtime));
  QF_RETURN_IF_ERROR(Save(record));
  FailPoint("update-after-health");
  soak_left_.reset();
  ShowProgress(record.progress);
  artifact_.reset();
  Show(v1::ModelStatus::HEALTHY, "", record.detail);
  return Step::kSettled;
}

bool Updater::RunsAsProven(Slot slot) const {
  if (running_ != slots_.Begun(slot)) return false;
  const auto runtime = slots_.RuntimeOf(slot);
  const auto context = slots_.ContextOf(slot);
  const auto same = [](const auto& a, const auto& b) {
    return google::protobuf::util::MessageDifferencer::Equals(a, b);
  };
  if (!runtime.ok() || !context.ok()) return true;  // of an agent that knew no other way to run it
  return runtime->has_value() == runtime_.has_value() &&
         (!runtime_ || same(**runtime, *runtime_)) && same(*context, context_);
}

bool Updater::ProvenOtherwise(Slot slot) const {
  const auto proven = slots_.RuntimeOf(slot);
  if (!proven.ok() || slots_.Begun(slot) != record_.manifest) return false;
  const auto context = slots_.ContextOf(slot);
  const bool other =
      context.ok() &&
      ((record_.context.tokens() > 0 && context->tokens() != record_.context.tokens()) ||
       (!record_.context.kv_type().empty() && context->kv_type() != record_.context.kv_type()));
  if (other) return true;
  if (!*proven || !record_.runtime) return proven->has_value() != record_.runtime.has_value();
  return !google::protobuf::util::MessageDifferencer::Equals(**proven, *record_.runtime);
}

absl::StatusOr<Updater::Step> Updater::RollBack(std::stop_token stop) {
  const Slot failed = *slots_.Current();
  // The slot stays if it belongs to another release already, and if the artifact itself is good but
  // its runtime or its speed was not.
  const bool stays =
      slots_.Begun(failed) != record_.manifest || record_.ran_before || ProvenOtherwise(failed);
  const Slot target = stays ? failed : slots_.Idle();
  const bool can_go_back = slots_.Verified(target).has_value();
  if (target != failed) {
    // Never again a version to roll back to.
    QF_RETURN_IF_ERROR(slots_.UnmarkVerified(failed));
    FailPoint("rollback-before-switch");
    if (can_go_back) {
      QF_RETURN_IF_ERROR(slots_.Switch(target));
    } else {
      QF_RETURN_IF_ERROR(slots_.Deactivate());
    }
    FailPoint("rollback-after-switch");
  }
  ModelRecord record = record_;
  record.outcome = Outcome::kHealthFailed;
  if (!prove_error_.ok()) Blame(record, prove_error_);
  prove_error_ = absl::OkStatus();
  QF_RETURN_IF_ERROR(Save(record));
  std::string detail = record.detail;
  if (!can_go_back) {
    environment_.host.Stop(model_);
    running_.reset();
  } else if (!RunsAsProven(target) || !environment_.host.Condition(model_).ok()) {
    // It was proven when it came: that is not asked again.
    const absl::Status started = StartProven(target, stop);
    if (started.code() == absl::StatusCode::kCancelled) return started;
    if (!started.ok()) detail += "; rolling back failed too: " + Describe(started);
  }
  return CanStepDown() ? Step::kStepDown : Fail(record.reason, detail);
}

bool Updater::CanStepDown() const {
  return !record_.step_down.empty() &&
         (record_.reason == kTooSlow || record_.reason == kOutOfMemory);
}

absl::StatusOr<Updater::Step> Updater::StepDown() {
  ModelRecord record = record_;
  v1::StepDown& step = record.stepped_down.emplace_back();
  step.set_manifest(record.manifest->raw());
  step.set_reason(record.reason);
  step.set_detail(Shown(record.detail, kMaxDetail));
  record.manifest = record.step_down.front();
  record.step_down.erase(record.step_down.begin());
  // What came before may be just that.
  record.ran_before = slots_.Current() && slots_.Begun(*slots_.Current()) == record.manifest;
  record.outcome = Outcome::kOpen;
  record.attempts = 0;
  record.reason.clear();
  record.detail.clear();
  record.tokens_per_second = 0;
  record.progress = {};
  FailPoint("step-down-before");
  QF_RETURN_IF_ERROR(Save(record));
  FailPoint("step-down-after");
  artifact_.reset();
  verify_rounds_ = 0;
  return NextStep();
}

absl::StatusOr<Updater::Step> Updater::Remove() {
  environment_.host.Stop(model_);
  running_.reset();
  QF_RETURN_IF_ERROR(slots_.RemoveAll());
  ModelRecord record = record_;
  record.outcome = Outcome::kRemoved;
  QF_RETURN_IF_ERROR(Save(record));
  ShowProgress({});
  Show(v1::ModelStatus::REMOVED);
  return Step::kSettled;
}

}  // namespace quantfleet::agent
