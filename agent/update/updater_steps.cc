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

}  // namespace

Verdict Updater::GetArtifact() {
  if (artifact_) return {};
  v1::GetDeviceArtifactRequest request;
  request.set_manifest_digest(record_.manifest->raw());
  auto artifact = environment_.get_artifact(request);
  if (!artifact.ok()) return OfDaemon(artifact.status());
  artifact_ = *std::move(artifact);
  return {};
}

Tried<Downloader> Updater::OpenDownloader(Slot slot, const v1::DeviceArtifact* offered) {
  Downloader::Job job{.files = slots_.FilesOf(slot),
                      .journal = slots_.JournalOf(slot),
                      .manifest = {},
                      .stored = {},
                      .running = {},
                      .release = record_.release};
  QF_TRY_DISK(job.manifest, slots_.ManifestOf(slot));
  if (offered) job.stored.assign(offered->stored().begin(), offered->stored().end());
  const Slot other = slot == Slot::kA ? Slot::kB : Slot::kA;
  if (auto manifest = slots_.ManifestOf(other); manifest.ok())
    job.running = Downloader::Source{slots_.FilesOf(other), *std::move(manifest)};
  return Downloader::Open(environment_.files, std::move(job),
                          [this](const DownloadProgress& progress) { ShowProgress(progress); });
}

Tried<Updater::Step> Updater::Fetch(std::stop_token stop) {
  const v1::ModelStatus shown = status();
  const bool goes_on =
      shown.release() == record_.release && (shown.phase() == v1::ModelStatus::DOWNLOADING ||
                                             shown.phase() == v1::ModelStatus::AWAITING_APPROVAL);
  if (!goes_on) {
    ShowProgress({});
    Show(v1::ModelStatus::DOWNLOADING);
  }
  QF_RETURN_IF_SETBACK(GetArtifact());
  const auto manifest = ReadArtifact(*artifact_, *record_.manifest, environment_.trust_root());
  if (!manifest.ok()) return Verdict(Reason::kVerifyFailed, Message(manifest.status()));
  const Slot idle = slots_.Idle();
  QF_RETURN_IF_SETBACK(OfDisk(slots_.Begin(idle, artifact_->manifest())));
  QF_RETURN_IF_SETBACK(OfDisk(slots_.KeepEvaluations(
      idle, ReadEvaluations(*artifact_, *record_.manifest, environment_.trust_root()))));
  QF_TRY(Downloader downloader, OpenDownloader(idle, &*artifact_));
  ShowProgress(downloader.progress());
  QF_RETURN_IF_SETBACK(Pull(downloader, stop, [this] { Show(v1::ModelStatus::DOWNLOADING); }));
  return Step::kVerify;
}

Verdict Updater::Pull(Downloader& downloader, std::stop_token stop,
                      const std::function<void()>& begins) {
  Meter meter(record_.network, environment_.budget, environment_.clock, environment_.sleeper, stop);
  QF_RETURN_IF_SETBACK(meter.MayPull(downloader.ToPull()));
  begins();
  return downloader.Fetch({.blobs = environment_.blobs,
                           .meter = meter,
                           .clock = environment_.clock,
                           .min_bytes_per_second = environment_.min_bytes_per_second,
                           .stop = stop});
}

Tried<Updater::Step> Updater::Verify(std::stop_token stop) {
  Show(v1::ModelStatus::VERIFYING);
  const Slot idle = slots_.Idle();
  QF_TRY(Downloader downloader, OpenDownloader(idle, nullptr));
  ShowProgress(downloader.progress());
  QF_TRY(const size_t damaged, downloader.Verify(stop));
  if (damaged > 0) {
    QF_RETURN_IF_SETBACK(OfDisk(slots_.UnmarkVerified(idle)));
    if (++verify_rounds_ >= kMaxVerifyRounds)
      return Setback(Reason::kVerifyFailed, "chunks damaged on this disk: {}", damaged);
    return Step::kFetch;
  }
  QF_RETURN_IF_SETBACK(OfDisk(slots_.MarkVerified(idle, *record_.manifest)));
  checked_ = record_.manifest;
  ModelRecord record = record_;
  record.progress = downloader.progress();
  QF_RETURN_IF_SETBACK(Save(record));
  return Step::kSwitch;
}

Tried<Updater::Step> Updater::SwitchOver() {
  Show(v1::ModelStatus::ACTIVATING);
  FailPoint("update-before-switch");
  QF_RETURN_IF_SETBACK(OfDisk(slots_.Switch(slots_.Idle())));
  FailPoint("update-after-switch");
  return Step::kProve;
}

Tried<v1::ContextPolicy> Updater::ChooseContext(Slot slot) const {
  QF_TRY_DISK(const v1::Manifest manifest, slots_.ManifestOf(slot));
  const v1::Memory memory = pipeline::MemoryOf(manifest);
  // Of an older manifest the terms are a guess, good enough to choose devices by; and a program has
  // none.
  if (!manifest.requirements().has_memory() || memory.caches().empty()) return record_.context;
  const uint64_t available = environment_.host.MemoryFor(model_);
  const absl::StatusOr<pipeline::MemoryNeed> need = pipeline::FitContext(
      memory, record_.context, available == 0 ? std::numeric_limits<uint64_t>::max() : available);
  if (!need.ok())
    return Verdict(
        absl::IsResourceExhausted(need.status()) ? Reason::kOutOfMemory : Reason::kHealthFailed,
        Describe(need.status()));
  v1::ContextPolicy chosen;
  chosen.set_tokens(need->context);
  chosen.set_kv_type(need->kv_type);
  return chosen;
}

Tried<Health> Updater::Start(Slot slot, const std::optional<v1::Runtime>& runtime,
                             const v1::ContextPolicy& context, const HealthGate& gate,
                             std::stop_token stop) {
  Installed installed{.files = slots_.FilesOf(slot),
                      .manifest = {},
                      .runtime = runtime,
                      .context = context.tokens(),
                      .kv_type = context.kv_type()};
  QF_TRY_DISK(installed.manifest, slots_.ManifestOf(slot));
  QF_RETURN_IF_SETBACK(environment_.host.MayRun(runtime));
  QF_TRY(const Health health, environment_.host.Start(model_, installed, gate, stop));
  running_ = slots_.Begun(slot);
  runtime_ = runtime;
  context_ = context;
  return health;
}

Verdict Updater::StartProven(Slot slot, std::stop_token stop) {
  const auto runtime = slots_.RuntimeOf(slot);
  if (!runtime.ok() && runtime.status().code() != absl::StatusCode::kNotFound)
    return OfDisk(runtime.status());
  QF_TRY_DISK(const v1::ContextPolicy context, slots_.ContextOf(slot));
  return Start(slot, runtime.ok() ? *runtime : std::nullopt, context, {}, stop).verdict();
}

void Updater::Blame(ModelRecord& record, const Verdict& why) {
  record.outcome = Outcome::kHealthFailed;
  // What was in the way of an activation has one of three names.
  record.reason = why.Is(Reason::kTooSlow) || why.Is(Reason::kOutOfMemory) ? why.reason()
                                                                           : Reason::kHealthFailed;
  record.detail = why.detail();
}

Verdict Updater::Blamed(const ModelRecord& record) {
  return {record.reason.value_or(Reason::kHealthFailed), record.detail};
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

Tried<Updater::Step> Updater::Prove(std::stop_token stop) {
  Show(v1::ModelStatus::ACTIVATING);
  const Slot current = *slots_.Current();
  if (record_.attempts >= kMaxAttempts) {
    prove_error_ = Setback(
        Reason::kOutOfMemory,
        "the agent ended {} times while activating this version; most likely the system ran out of "
        "memory",
        record_.attempts);
    return Step::kRollBack;
  }
  // Recorded before: a system that runs out of memory kills without warning.
  QF_RETURN_IF_SETBACK(CountAttempt(record_.attempts + 1));
  const Tried<v1::ContextPolicy> context = ChooseContext(current);
  if (!context.ok()) {
    prove_error_ = context.verdict();
    return Step::kRollBack;
  }
  const HealthGate gate = GateOf(current, *context);
  const Tried<Health> health = Start(current, record_.runtime, *context, gate, stop);
  if (health.verdict().Is(Reason::kInterrupted)) {
    QF_RETURN_IF_SETBACK(CountAttempt(record_.attempts - 1));
    return health.verdict();
  }
  if (!health.ok()) {
    prove_error_ = health.verdict();
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

Verdict Updater::CountAttempt(uint32_t attempts) {
  ModelRecord record = record_;
  record.attempts = attempts;
  return Save(record);
}

Tried<Updater::Step> Updater::Soak(std::stop_token stop) {
  Show(v1::ModelStatus::SOAKING);
  const HealthGate gate = GateOf(*slots_.Current(), context_);
  // The time already waited counts: an assignment for another model may interrupt, while an agent
  // that restarts begins again.
  while (*soak_left_ > Duration(0)) {
    const Duration step = std::min(kSoakStep, *soak_left_);
    if (!environment_.sleeper.Sleep(step, stop))
      return Setback(Reason::kInterrupted, "the soak time was interrupted");
    const Verdict still = environment_.host.StillHealthy(model_, gate, stop);
    if (still.Is(Reason::kInterrupted)) return still;
    if (!still.ok()) {
      prove_error_ = still.Within("during the soak time");
      soak_left_.reset();
      return Step::kRollBack;
    }
    *soak_left_ -= step;
  }
  return Commit();
}

Tried<Updater::Step> Updater::Commit() {
  const Slot current = *slots_.Current();
  ModelRecord record = record_;
  record.outcome = Outcome::kHealthy;
  record.attempts = 0;
  record.reason.reset();
  if (record.progress.total == 0) {
    // An artifact that was current before this release: nothing had to move.
    QF_TRY_DISK(const v1::Manifest manifest, slots_.ManifestOf(current));
    for (const v1::ArtifactFile& file : manifest.files()) record.progress.total += file.size();
    record.progress.done = record.progress.reused = record.progress.total;
  }
  QF_RETURN_IF_SETBACK(OfDisk(slots_.KeepContext(current, context_)));
  QF_RETURN_IF_SETBACK(OfDisk(slots_.KeepRuntime(current, record_.runtime)));
  QF_RETURN_IF_SETBACK(Save(record));
  FailPoint("update-after-health");
  soak_left_.reset();
  before_damage_.reset();
  ShowProgress(record.progress);
  artifact_.reset();
  Show(v1::ModelStatus::HEALTHY, {}, record.detail);
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

Tried<Updater::Step> Updater::RollBack(std::stop_token stop) {
  const Slot failed = *slots_.Current();
  // The slot stays if it belongs to another release already, and if the artifact itself is good but
  // its runtime or its speed was not.
  const bool stays =
      slots_.Begun(failed) != record_.manifest || record_.ran_before || ProvenOtherwise(failed);
  const Slot target = stays ? failed : slots_.Idle();
  const bool can_go_back = slots_.Verified(target).has_value();
  if (target != failed) {
    // Never again a version to roll back to.
    QF_RETURN_IF_SETBACK(OfDisk(slots_.UnmarkVerified(failed)));
    FailPoint("rollback-before-switch");
    if (can_go_back) {
      QF_RETURN_IF_SETBACK(OfDisk(slots_.Switch(target)));
    } else {
      QF_RETURN_IF_SETBACK(OfDisk(slots_.Deactivate()));
    }
    FailPoint("rollback-after-switch");
  }
  ModelRecord record = record_;
  record.outcome = Outcome::kHealthFailed;
  if (!prove_error_.ok()) Blame(record, prove_error_);
  prove_error_ = {};
  QF_RETURN_IF_SETBACK(Save(record));
  Verdict why = Blamed(record);
  if (!can_go_back) {
    environment_.host.Stop(model_);
    running_.reset();
  } else if (!RunsAsProven(target) || !environment_.host.Condition(model_).ok()) {
    // It was proven when it came: that is not asked again.
    const Verdict started = StartProven(target, stop);
    if (started.Is(Reason::kInterrupted)) return started;
    if (!started.ok())
      why = {why.reason(), why.detail() + "; rolling back failed too: " + started.detail()};
  }
  return CanStepDown() ? Step::kStepDown : Fail(why);
}

bool Updater::CanStepDown() const {
  return !record_.step_down.empty() &&
         (record_.reason == Reason::kTooSlow || record_.reason == Reason::kOutOfMemory);
}

Tried<Updater::Step> Updater::StepDown() {
  ModelRecord record = record_;
  v1::StepDown& step = record.stepped_down.emplace_back();
  step.set_manifest(record.manifest->raw());
  step.set_reason(std::string(NameOf(Blamed(record).reason())));
  step.set_detail(Shown(record.detail, kMaxDetail));
  record.manifest = record.step_down.front();
  record.step_down.erase(record.step_down.begin());
  // What came before may be just that.
  record.ran_before = slots_.Current() && slots_.Begun(*slots_.Current()) == record.manifest;
  record.outcome = Outcome::kOpen;
  record.attempts = 0;
  record.reason.reset();
  record.detail.clear();
  record.tokens_per_second = 0;
  record.progress = {};
  FailPoint("step-down-before");
  QF_RETURN_IF_SETBACK(Save(record));
  FailPoint("step-down-after");
  artifact_.reset();
  verify_rounds_ = 0;
  return NextStep();
}

Tried<Updater::Step> Updater::Remove() {
  environment_.host.Stop(model_);
  running_.reset();
  QF_RETURN_IF_SETBACK(OfDisk(slots_.RemoveAll()));
  ModelRecord record = record_;
  record.outcome = Outcome::kRemoved;
  QF_RETURN_IF_SETBACK(Save(record));
  ShowProgress({});
  Show(v1::ModelStatus::REMOVED);
  return Step::kSettled;
}

}  // namespace quantfleet::agent
