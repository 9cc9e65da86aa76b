// The part of a job before quantizing that measures the model, and what is kept of it.
#include <algorithm>

#include "daemon/jobs/job_runner.h"
#include "daemon/jobs/job_target.h"
#include "daemon/jobs/step_up.h"
#include "daemon/store/artifact_name.h"
#include "pipeline/artifact/manifest.h"
#include "pipeline/format/gguf/read/gguf_calibration.h"
#include "pipeline/stage/choose_fold.h"

namespace quantfleet::daemon {
namespace {

// Of finished jobs, the newest: one takes as much disk as its second moments (docs/quality.md).
constexpr size_t kMostCalibrations = 4;

void AddNote(v1::Job& job, const std::string& note) {
  if (std::ranges::count(job.notes(), note) == 0) job.add_notes(note);
}

// Of what it has not made yet.
absl::StatusOr<bool> Any(const JobRecord& record,
                         const std::function<bool(const pipeline::TargetSpec&)>& is_it) {
  for (const std::string& text : TargetsLeft(record)) {
    QF_ASSIGN_OR_RETURN(const pipeline::TargetSpec spec, ParseJobTarget(text));
    if (is_it(spec)) return true;
  }
  return false;
}

// Whether what was measured is something else than what the job measured before.
bool Differs(const v1::JobCalibration& known, const pipeline::Calibration& found) {
  const auto differs = [](const std::string& raw, const Digest& digest) {
    return !raw.empty() && raw != digest.raw();
  };
  return differs(known.importance_digest(), found.importance->digest) ||
         (found.moments != nullptr && differs(known.moments_digest(), found.moments->digest()));
}

}  // namespace

absl::StatusOr<pipeline::Calibration> JobRunner::CalibrateFor(JobRecord& record,
                                                              const pipeline::ModelSource& source,
                                                              const pipeline::ModelFiles& files,
                                                              const std::stop_token& stop) {
  QF_ASSIGN_OR_RETURN(const bool calibrates, Any(record, &pipeline::TargetSpec::calibrated));
  if (!calibrates) return pipeline::Calibration();
  SetStage(record.job.name(), "calibrating");
  // The same files pushed again have the same digest, and another time.
  std::string identity = source.fingerprint().text;
  const auto version = with_.store.Read([&](const Transaction& tx) {
    return tx.models().GetVersion(record.job.model(), record.job.model_version());
  });
  if (version.ok() && !version->files_digest().empty()) identity = version->files_digest();
  auto made = MakeOrFindCalibration(record, {source, files, std::move(identity)}, stop);
  if (made.ok() || absl::IsCancelled(made.status())) return made;
  const std::string& text = record.job.calibration().text();
  if (text != kSelfText)
    return Annotate(made.status(), fmt::format("calibrating on \"{}\" failed: submit the job with "
                                               "another text, or with `--calibration none`",
                                               text));
  AddNote(record.job,
          fmt::format("not calibrated, and rounded to the nearest: {}", Message(made.status())));
  QF_RETURN_IF_ERROR(ChangeTargetsLeft(record, [](pipeline::TargetSpec& spec) {
    spec.rounding = pipeline::Rounding::kNearest;
    spec.calibrated = spec.folded = false;
  }));
  // What an earlier pass made stays as it is; else what was begun would only take room.
  if (record.job.artifacts_size() == 0) {
    if (!record.job.calibration().folder().empty())
      QF_RETURN_IF_ERROR(with_.files.RemoveTree(calibrator_.FolderOf(record.job.calibration())));
    record.job.clear_calibration();
  }
  QF_RETURN_IF_ERROR(KeepDecisions(record));
  return pipeline::Calibration();
}

absl::StatusOr<std::shared_ptr<const pipeline::Fold>> JobRunner::FoldFor(
    JobRecord& record, const pipeline::ModelSource& source, pipeline::Calibration& calibration,
    const std::stop_token& stop) {
  QF_ASSIGN_OR_RETURN(const std::vector<pipeline::TargetSpec> next, TargetsNext(record));
  if (next.empty() || !next.front().folded) return nullptr;
  const std::string& name = record.job.name();
  SetStage(name, "folding");
  auto fold = pipeline::ChooseFold(
      source, calibration,
      {.threads = options_.threads,
       .memory_bytes = options_.memory_bytes,
       .on_progress = [&](uint64_t done, uint64_t all) { OnStep(name, done, all); },
       .stop = stop});
  if (fold.ok()) {
    QF_ASSIGN_OR_RETURN(calibration, pipeline::Folded(calibration, **fold));
    return *std::move(fold);
  }
  if (!absl::IsResourceExhausted(fold.status())) return fold.status();
  AddNote(record.job, fmt::format("not folded: {}", Message(fold.status())));
  QF_RETURN_IF_ERROR(
      ChangeTargetsLeft(record, [](pipeline::TargetSpec& spec) { spec.folded = false; }));
  QF_RETURN_IF_ERROR(KeepDecisions(record));
  return nullptr;
}

absl::StatusOr<pipeline::Calibration> JobRunner::MakeOrFindCalibration(
    JobRecord& record, const Calibrator::Model& model, const std::stop_token& stop) {
  using pipeline::Rounding;
  const std::string& name = record.job.name();
  QF_ASSIGN_OR_RETURN(const bool feedback, Any(record, [](const pipeline::TargetSpec& spec) {
                        return spec.rounding == Rounding::kFeedback;
                      }));
  QF_ASSIGN_OR_RETURN(const Calibrator::Planned planned,
                      calibrator_.Plan(model, record.job.calibration(), feedback));
  for (const std::string& note : planned.notes) AddNote(record.job, note);
  *record.job.mutable_calibration() = planned.calibration;
  v1::JobCalibration& known = *record.job.mutable_calibration();
  if (!known.second_moments())
    QF_RETURN_IF_ERROR(ChangeTargetsLeft(record, [](pipeline::TargetSpec& spec) {
      if (spec.rounding == Rounding::kFeedback) spec.rounding = Rounding::kSearch;
    }));
  QF_RETURN_IF_ERROR(KeepDecisions(record));
  // Others make room first; what cannot be removed is so later.
  CollectCalibrations(/*dry_run=*/false).status().IgnoreError();
  const Calibrator::Tell tell = [&](uint64_t done, uint64_t all) { OnStep(name, done, all); };
  for (bool again = false;; again = true) {
    QF_ASSIGN_OR_RETURN(const fs::path folder, calibrator_.Make(model, planned, stop, tell));
    auto opened =
        pipeline::OpenCalibration(with_.files, folder, model.source, known.second_moments());
    const bool other = opened.ok() && Differs(known, *opened);
    // Damaged, or made by another version of the program.
    if ((!opened.ok() || other) && !again) {
      QF_RETURN_IF_ERROR(with_.files.RemoveTree(folder));
      continue;
    }
    QF_RETURN_IF_ERROR(opened.status());
    if (other)
      AddNote(record.job,
              "the calibration is not the one of before: this machine or this version of the "
              "program measures otherwise");
    known.set_importance_digest(opened->importance->digest.raw());
    if (opened->moments != nullptr) known.set_moments_digest(opened->moments->digest().raw());
    QF_RETURN_IF_ERROR(KeepDecisions(record));
    return opened;
  }
}

absl::Status JobRunner::NoteResult(JobRecord& record, const pipeline::ExecutorResult& result) {
  const int before = record.job.notes_size();
  for (const std::string& note : result.notes) AddNote(record.job, note);
  std::set<std::string> made;
  for (const v1::Manifest& manifest : result.manifests)
    made.insert(ArtifactName(pipeline::ManifestDigest(manifest).span()));
  for (const std::string& name : record.job.repairs())
    if (!made.contains(name))
      AddNote(
          record.job,
          fmt::format("{0} is not mended: the same files and options gave another artifact, as "
                      "another version of the program or another machine made it; roll that out "
                      "and delete {0}",
                      name));
  return record.job.notes_size() == before ? absl::OkStatus() : KeepDecisions(record);
}

absl::Status JobRunner::KeepDecisions(const JobRecord& record) {
  const auto keep = [&](JobRecord& job) -> absl::Status {
    job.targets = record.targets;
    *job.job.mutable_step_ups() = record.job.step_ups();
    if (record.job.has_calibration())
      *job.job.mutable_calibration() = record.job.calibration();
    else
      job.job.clear_calibration();
    *job.job.mutable_notes() = record.job.notes();
    return absl::OkStatus();
  };
  return with_.store
      .Write([&](Transaction& tx) { return tx.jobs().Update(record.job.name(), keep); })
      .status();
}

// A calibration is kept for a while after the last job that took it, as another one may follow, and
// as long as its model; a text as long as an artifact that was made with it may need repair.
absl::StatusOr<uint64_t> JobRunner::CollectCalibrations(bool dry_run) {
  const std::lock_guard lock(texts_mutex_);
  std::set<std::string> folders, texts;
  const int64_t kept_since = ToUnixMillis(with_.clock.Now()) - options_.keep_abandoned.count();
  QF_RETURN_IF_ERROR(with_.store.Read([&](const Transaction& tx) -> absl::Status {
    QF_ASSIGN_OR_RETURN(const std::vector<v1::Job> jobs, tx.jobs().List());
    QF_ASSIGN_OR_RETURN(const std::vector<v1::Artifact> listed, tx.artifacts().List(""));
    std::set<std::string> artifacts;
    for (const v1::Artifact& artifact : listed) artifacts.insert(artifact.name());
    for (const v1::Job& job : jobs) {
      if (!job.has_calibration()) continue;
      const v1::JobCalibration& calibration = job.calibration();
      const bool has_artifacts = std::ranges::any_of(
          job.artifacts(), [&](const std::string& name) { return artifacts.contains(name); });
      if (!job.done() || has_artifacts || job.finished_ms() >= kept_since)
        texts.insert(calibration.text_digest());
      if (!job.done()) {
        folders.insert(calibration.folder());
        continue;
      }
      if (job.finished_ms() < kept_since || folders.size() >= kMostCalibrations) continue;
      if (tx.models().GetVersion(job.model(), job.model_version()).ok())
        folders.insert(calibration.folder());
    }
    return absl::OkStatus();
  }));
  return calibrator_.Collect(folders, texts, dry_run);
}

void JobRunner::AddCalibrations(absl::StatusOr<Collected>& collected, bool dry_run) {
  if (!collected.ok()) return;
  const absl::StatusOr<uint64_t> freed = CollectCalibrations(dry_run);
  if (freed.ok())
    collected->bytes_removed += *freed;
  else
    collected = freed.status();
}

void JobRunner::OnStep(const std::string& name, uint64_t done, uint64_t all) {
  const Duration now = with_.clock.Monotonic();
  bool publish = false;
  {
    std::lock_guard lock(mutex_);
    Live& live = live_[name];
    v1::JobProgress& out = live.progress;
    if (!live.first || done < out.bytes_read()) live.first = {now, done};  // another step
    out.set_bytes_read(done);
    out.set_bytes_total(all);
    const double seconds = static_cast<double>((now - live.first->first).count()) / 1000;
    const double since = static_cast<double>(done - live.first->second);
    out.set_eta_seconds(seconds > 0 && since > 0 ? static_cast<double>(all - done) * seconds / since
                                                 : -1);
    publish = now - live.published >= kPublishInterval;
    if (publish) live.published = now;
  }
  if (publish) Publish(name);
}

}  // namespace quantfleet::daemon
