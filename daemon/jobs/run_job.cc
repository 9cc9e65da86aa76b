// One job from claim to end: open, plan, execute, measure, seal; and again, with larger targets for
// the classes whose limits an artifact misses.
#include <unordered_map>

#include "common/base/fail_point.h"
#include "common/trust/statement.h"
#include "daemon/fleet/device_class.h"
#include "daemon/fleet/measured.h"
#include "daemon/jobs/agent_release.h"
#include "daemon/jobs/job_journal.h"
#include "daemon/jobs/job_runner.h"
#include "daemon/jobs/job_target.h"
#include "daemon/jobs/model_place.h"
#include "daemon/jobs/step_up.h"
#include "daemon/store/artifact_name.h"
#include "daemon/trust/evaluation.h"
#include "pipeline/artifact/kind.h"
#include "pipeline/artifact/manifest.h"
#include "pipeline/artifact/memory.h"
#include "pipeline/format/registry/open_model.h"

namespace quantfleet::daemon {
namespace {

uint64_t SizeOf(const v1::Manifest& manifest) {
  uint64_t size = 0;
  for (const v1::ArtifactFile& file : manifest.files()) size += file.size();
  return size;
}

// Whether there is already a statement of this kind about the artifact for which `is_it` is true.
template <typename Statement, typename IsIt>
bool HasStatement(const ArtifactRecord& artifact, std::string_view type, IsIt is_it) {
  return std::ranges::any_of(artifact.statements, [&](const v1::Signed& signed_statement) {
    Statement statement;
    return signed_statement.payload_type() == type &&
           statement.ParseFromString(signed_statement.payload()) && is_it(statement);
  });
}

std::string NameOf(const v1::Manifest& manifest) {
  return ArtifactName(pipeline::ManifestDigest(manifest).span());
}

// Its chunks, and what stands for the manifest itself.
absl::StatusOr<std::vector<Digest>> BlobsOf(const v1::Manifest& manifest) {
  std::vector<Digest> blobs{pipeline::ManifestDigest(manifest)};
  for (const v1::ArtifactFile& file : manifest.files())
    for (const v1::Chunk& chunk : file.chunks()) {
      QF_ASSIGN_OR_RETURN(blobs.emplace_back(), Digest::FromRaw(chunk.digest()));
    }
  return blobs;
}

// One that was repaired has its place among the others as before: it is not newer than they are.
absl::Status Keep(Transaction& tx, const v1::Job& job, const ArtifactRecord& artifact) {
  const std::string& name = artifact.artifact.name();
  const bool repaired = std::ranges::count(job.repairs(), name) > 0;
  if (const auto known = tx.artifacts().Get(name);
      !repaired || !known.ok() || known->manifest != artifact.manifest)
    return tx.artifacts().Put(artifact);
  for (const v1::Signed& statement : artifact.statements)
    QF_RETURN_IF_ERROR(tx.artifacts().AddStatement(name, statement));
  return absl::OkStatus();
}

// A target of a step up is of a later pass, for which there may be less than was there for the
// first.
pipeline::TargetSpec AsCalibrated(pipeline::TargetSpec spec,
                                  const pipeline::Calibration& calibration) {
  if (calibration.importance == nullptr) {
    spec.calibrated = false;
    spec.rounding = pipeline::Rounding::kNearest;
  } else if (calibration.moments == nullptr && spec.rounding == pipeline::Rounding::kFeedback) {
    spec.rounding = pipeline::Rounding::kSearch;
  }
  return spec;
}

absl::Status WithRemedy(const absl::Status& status) {
  if (status.code() != absl::StatusCode::kResourceExhausted) return status;
  return MakeStatus(
      status.code(),
      Message(status) + "; free some space and submit the job again: finished work is kept");
}

}  // namespace

void JobRunner::RunJob(const JobRecord& record, const std::stop_token& stop) {
  FailPoint("job-claimed");
  const std::string& name = record.job.name();
  absl::Status status;
  try {
    status = Execute(record, stop);
  } catch (const std::exception& error) {
    status = Internal("the job failed with an exception: {}", error.what());
  }
  bool cancelled = false;
  {
    std::lock_guard lock(mutex_);
    cancelled = live_[name].cancelled;
  }
  // Stopped with the daemon: the job stays RUNNING and is queued again at the next start.
  const bool interrupted = absl::IsCancelled(status) && stop.stop_requested() && !cancelled;
  if (!status.ok() && !interrupted) {
    // If even the end cannot be written, the disk is full and no other job would fare better: wait
    // for space. A restart meanwhile queues the job again.
    while (!FinishBadly(name, WithRemedy(status), cancelled && absl::IsCancelled(status)).ok() &&
           !stop.stop_requested()) {
      std::unique_lock lock(mutex_);
      wake_.wait_for(lock, stop, kRetryAfterStoreError, [] { return false; });
    }
  }
  Publish(name);
  std::lock_guard lock(mutex_);
  live_.erase(name);
}

absl::Status JobRunner::Execute(JobRecord record, const std::stop_token& stop) {
  const std::string name = record.job.name();
  for (;;) {
    QF_RETURN_IF_ERROR(RunPass(std::move(record), stop));
    // A pass begins with what the store has, as after a restart.
    QF_ASSIGN_OR_RETURN(
        record, with_.store.Read([&](const Transaction& tx) { return tx.jobs().Get(name); }));
    if (record.job.done()) return absl::OkStatus();
  }
}

absl::Status JobRunner::RunPass(JobRecord record, const std::stop_token& stop) {
  const std::string name = record.job.name();
  SetStage(name, "planning");
  std::stop_source job_stop;
  {
    std::lock_guard lock(mutex_);
    job_stop = live_[name].stop;
    live_[name].first.reset();
  }
  const std::stop_callback pass_on(stop, [&] { job_stop.request_stop(); });

  if (pipeline::KindOfModel(record.job.model()) == pipeline::ArtifactKind::kProgram)
    return SealAgents(record, job_stop.get_token());
  QF_ASSIGN_OR_RETURN(const fs::path place, SourceOf(record));
  QF_ASSIGN_OR_RETURN(pipeline::ModelFiles files, pipeline::ResolveModel(with_.files, place));
  files.name = record.job.model();  // errors say it instead of the folder's
  QF_ASSIGN_OR_RETURN(const auto source, pipeline::OpenModel(with_.files, files));
  QF_ASSIGN_OR_RETURN(pipeline::Calibration calibration,
                      CalibrateFor(record, *source, files, job_stop.get_token()));
  std::vector<pipeline::TargetSpec> targets;
  for (const std::string& text : TargetsLeft(record)) {
    QF_ASSIGN_OR_RETURN(pipeline::TargetSpec spec, ParseJobTarget(text));
    targets.push_back(AsCalibrated(std::move(spec), calibration));
  }
  QF_ASSIGN_OR_RETURN(const pipeline::Plan plan,
                      pipeline::MakePlan(*source, targets, std::move(calibration)));
  QF_RETURN_IF_ERROR(CheckPlan(record, *source, plan));

  QF_ASSIGN_OR_RETURN(const auto journal, JobJournal::Load(with_.store, with_.blobs, plan, name,
                                                           options_.on_slab_recorded));
  BlobSink sink(with_.blobs);
  pipeline::ExecutorOptions options;
  options.threads = options_.threads;
  options.memory_bytes = options_.memory_bytes;
  options.journal = journal.get();
  options.on_progress = [&](const pipeline::Progress& progress) { OnProgress(name, progress); };
  options.stop = job_stop.get_token();
  SetStage(name, "quantizing");
  QF_ASSIGN_OR_RETURN(const pipeline::ExecutorResult result,
                      pipeline::Execute(*source, plan, sink, options));
  OnProgress(name, result.progress);
  QF_RETURN_IF_ERROR(NoteResult(record, result));
  if (result.manifests.size() != plan.targets.size())
    return Internal("the run returned {} manifests for {} targets", result.manifests.size(),
                    plan.targets.size());
  QF_ASSIGN_OR_RETURN(const Measured measured,
                      Measure(record, *source, result.manifests, job_stop.get_token()));
  SetStage(name, "sealing");
  const bool no_tokenizer =
      source->description().tokenizer.kind == text::TokenizerData::Kind::kNone;
  Made made{result.manifests, no_tokenizer};
  QF_ASSIGN_OR_RETURN(made.step_ups, DecideStepUps(record, *source, result.manifests, measured));
  JobRecord after = record;
  after.job.mutable_step_ups()->Add(made.step_ups.begin(), made.step_ups.end());
  made.last = TargetsLeft(after).size() == made.manifests.size();
  return Seal(record, made, measured);
}

absl::StatusOr<fs::path> JobRunner::SourceOf(const JobRecord& record) const {
  fs::path place = PlaceOf(with_.files, options_.data, record.source_path);
  QF_RETURN_IF_ERROR(CheckFilesThere(with_.files, options_.data, record.job.model(), place));
  return place;
}

absl::Status JobRunner::SealAgents(const JobRecord& record, const std::stop_token& stop) {
  QF_ASSIGN_OR_RETURN(const fs::path place, SourceOf(record));
  QF_ASSIGN_OR_RETURN(const std::vector<FoundAgent> agents, FindAgents(with_.files, place));
  std::vector<v1::Manifest> manifests;
  SetStage(record.job.name(), "sealing");
  for (const FoundAgent& agent : agents) {
    QF_ASSIGN_OR_RETURN(manifests.emplace_back(),
                        StoreAgent(with_.files, with_.blobs, agent, stop));
  }
  Measured nothing;
  nothing.statements.resize(manifests.size());
  return Seal(record, {std::move(manifests)}, nothing);
}

absl::StatusOr<std::vector<Evaluator::Wanted>> JobRunner::WantedOf(const JobRecord& job,
                                                                   const v1::Manifest& manifest) {
  const v1::Memory memory = pipeline::MemoryOf(manifest);
  const std::string own = memory.caches().empty() ? "f16" : memory.caches(0).type();
  std::vector<Evaluator::Wanted> wanted;
  const auto add = [&](const v1::ContextPolicy& context) {
    const uint64_t most =
        context.tokens() > 0 ? context.tokens() : pipeline::DefaultContext(memory);
    const uint64_t least = context.min_tokens() > 0 ? context.min_tokens() : most;
    const std::string kv_type = context.kv_type().empty() ? own : context.kv_type();
    for (const bool is_long : {false, true}) {
      if (is_long ? !pipeline::IsLong(memory, most) : pipeline::IsLong(memory, least)) continue;
      // No longer than the text requires; above the short context only the factors matter.
      const uint64_t tokens =
          is_long
              ? std::min(memory.model_context(), memory.short_context() + pipeline::kDefaultContext)
          : memory.short_context() > 0
              ? std::min(memory.short_context(), pipeline::DefaultContext(memory))
              : 0;
      if (std::ranges::none_of(
              wanted, [&](const auto& w) { return w.kv_type == kv_type && w.context == tokens; }))
        wanted.push_back({manifest, kv_type, tokens});
    }
  };
  const std::string target = JobTargetOf(manifest);
  for (const std::string& name : job.job.device_classes()) {
    const auto found =
        with_.store.Read([&](const Transaction& tx) { return tx.classes().Get(name); });
    if (absl::IsNotFound(found.status())) continue;  // it was there when the job was submitted
    QF_RETURN_IF_ERROR(found.status());
    // One from before there were limits in its record may lack the TOML.
    auto spec = ParseDeviceClass(found->toml());
    if (!spec.ok()) {
      spec = DeviceClassSpec();
      spec->name = name;
      spec->format = found->format();
      spec->recipe = found->recipe();
    }
    JobRecord at_first = job;
    at_first.job.clear_step_ups();
    if (TargetOf(at_first, *spec) == target ||
        std::ranges::any_of(job.job.step_ups(), [&](const v1::StepUp& step) {
          return step.device_class() == name && step.to() == target;
        }))
      add(spec->context);
  }
  if (wanted.empty()) add({});
  return wanted;
}

// Artifacts that cannot be measured are still good: the job says why, and continues.
absl::StatusOr<JobRunner::Measured> JobRunner::Measure(const JobRecord& job,
                                                       const pipeline::ModelSource& source,
                                                       const std::vector<v1::Manifest>& manifests,
                                                       const std::stop_token& stop) {
  Measured measured;
  measured.statements.resize(manifests.size());
  if (!evaluator_.enabled()) return measured;
  const std::string text_digest = evaluator_.text_digest().raw();
  std::vector<size_t> places;
  std::vector<Evaluator::Wanted> fresh;
  for (size_t i = 0; i < manifests.size(); ++i) {
    const auto known = with_.store.Read(
        [&](const Transaction& tx) { return tx.artifacts().Get(NameOf(manifests[i])); });
    QF_ASSIGN_OR_RETURN(std::vector<Evaluator::Wanted> wanted, WantedOf(job, manifests[i]));
    const v1::Memory memory = pipeline::MemoryOf(manifests[i]);
    for (Evaluator::Wanted& one : wanted) {
      const auto is_same = [&](const v1::EvaluationStatement& s) {
        return s.text_digest() == text_digest && s.kv_type() == one.kv_type &&
               pipeline::IsLong(memory, s.context()) == pipeline::IsLong(memory, one.context);
      };
      if (known.ok() &&
          HasStatement<v1::EvaluationStatement>(*known, trust::kEvaluationStatementType, is_same))
        continue;
      places.push_back(i);
      fresh.push_back(std::move(one));
    }
  }
  SetStage(job.job.name(), "evaluating");
  auto evaluations = evaluator_.Evaluate(source, fresh, stop);
  if (absl::IsCancelled(evaluations.status())) return evaluations.status();
  if (!evaluations.ok()) {
    measured.error = Message(evaluations.status());
    return measured;
  }
  for (size_t i = 0; i < places.size(); ++i) {
    absl::StatusOr<v1::EvaluationStatement>& evaluation = (*evaluations)[i];
    if (evaluation.ok()) {
      measured.statements[places[i]].push_back(*std::move(evaluation));
    } else if (measured.error.empty()) {
      const v1::Target& target = fresh[i].manifest.target();
      measured.error =
          fmt::format("{}:{}: {}", target.format(), target.recipe(), Message(evaluation.status()));
    }
  }
  return measured;
}

absl::StatusOr<std::vector<v1::StepUp>> JobRunner::DecideStepUps(
    const JobRecord& job, const pipeline::ModelSource& source,
    const std::vector<v1::Manifest>& manifests, const Measured& measured) {
  std::vector<v1::StepUp> none;
  if (!job.job.repairs().empty()) return none;  // it makes what was there
  std::vector<DeviceClassSpec> classes;
  std::vector<MadeArtifact> made;
  const auto add = [&](const v1::Manifest& manifest, std::vector<v1::EvaluationStatement> found) {
    made.push_back(
        {JobTargetOf(manifest), SizeOf(manifest), pipeline::MemoryOf(manifest), std::move(found)});
  };
  const absl::Status read = with_.store.Read([&](const Transaction& tx) -> absl::Status {
    for (const std::string& name : job.job.device_classes()) {
      const auto found = tx.classes().Get(name);
      if (absl::IsNotFound(found.status())) continue;
      QF_RETURN_IF_ERROR(found.status());
      // One from before there were limits in its record may lack the TOML.
      if (auto spec = ParseDeviceClass(found->toml()); spec.ok())
        classes.push_back(*std::move(spec));
    }
    for (const std::string& name : job.job.artifacts()) {
      const auto record = tx.artifacts().Get(name);
      v1::Manifest manifest;
      if (record.ok() && manifest.ParseFromString(record->manifest))
        add(manifest, EvaluationsIn(record->statements));
    }
    for (size_t i = 0; i < manifests.size(); ++i) {
      std::vector<v1::EvaluationStatement> found;
      if (const auto known = tx.artifacts().Get(NameOf(manifests[i])); known.ok())
        found = EvaluationsIn(known->statements);
      found.insert(found.end(), measured.statements[i].begin(), measured.statements[i].end());
      add(manifests[i], std::move(found));
    }
    return absl::OkStatus();
  });
  QF_RETURN_IF_ERROR(read);
  return StepUpsOf(job, classes, made, source);
}

absl::Status JobRunner::CheckPlan(JobRecord& record, const pipeline::ModelSource& source,
                                  const pipeline::Plan& plan) {
  const std::string plan_digest = pipeline::PlanDigest(plan).hex(),
                    fingerprint = source.fingerprint().text;
  const bool begun = !record.plan_digest.empty();
  // Of a pass after the first there is no plan yet, but the files have to be the same.
  if (!record.source_fingerprint.empty() && record.source_fingerprint != fingerprint)
    return FailedPrecondition(
        "the files of {} at {} have changed since {}: import the model again and submit another "
        "job",
        record.job.model(), PlaceOf(with_.files, options_.data, record.source_path).string(),
        record.job.repairs().empty() ? "the job started" : record.job.repairs(0) + " was made");
  if (begun && record.plan_digest == plan_digest) return absl::OkStatus();
  record.plan_digest = plan_digest;
  record.source_fingerprint = fingerprint;
  return with_.store.Write([&](Transaction& tx) -> absl::Status {
    // Another version of the program may plan differently: its slabs are not ours.
    if (begun) QF_RETURN_IF_ERROR(tx.jobs().DeleteSlabs(record.job.name()));
    const auto set_plan = [&](JobRecord& job) -> absl::Status {
      job.plan_digest = plan_digest;
      job.source_fingerprint = fingerprint;
      return absl::OkStatus();
    };
    QF_RETURN_IF_ERROR(tx.jobs().Update(record.job.name(), set_plan).status());
    return tx.jobs().AdoptSlabs(record).status();
  });
}

absl::StatusOr<ArtifactRecord> JobRunner::MakeArtifact(const v1::Job& job,
                                                       const v1::Manifest& manifest) {
  const std::string& model = job.model();
  ArtifactRecord record;
  record.manifest = pipeline::SerializeManifest(manifest);
  const Digest digest = HashText(record.manifest);
  const int64_t now_ms = ToUnixMillis(with_.clock.Now());
  v1::Artifact& artifact = record.artifact;
  artifact.set_name(NameOf(manifest));
  artifact.set_manifest_digest(digest.raw());
  artifact.set_model(model);
  if (job.model_version() > 0) artifact.add_versions(job.model_version());
  artifact.set_format(manifest.target().format());
  artifact.set_recipe(manifest.target().recipe());
  artifact.set_size_bytes(SizeOf(manifest));
  artifact.set_created_ms(now_ms);

  std::unordered_map<Digest, uint64_t> stored;
  for (const v1::ArtifactFile& file : manifest.files()) {
    for (const v1::Chunk& chunk : file.chunks()) {
      QF_ASSIGN_OR_RETURN(const Digest chunk_digest, Digest::FromRaw(chunk.digest()));
      if (stored.contains(chunk_digest)) continue;
      QF_ASSIGN_OR_RETURN(const auto found, with_.blobs.Stat(chunk_digest));
      stored.emplace(chunk_digest, found.stored_size);
    }
  }
  uint64_t stored_bytes = 0;
  for (const auto& [chunk_digest, size] : stored) stored_bytes += size;
  artifact.set_stored_bytes(stored_bytes);
  artifact.set_chunks(stored.size());

  const auto known =
      with_.store.Read([&](const Transaction& tx) { return tx.artifacts().Get(artifact.name()); });
  const auto of_model = [&](const v1::ArtifactStatement& s) { return s.model() == model; };
  if (!known.ok() ||
      !HasStatement<v1::ArtifactStatement>(*known, trust::kArtifactStatementType, of_model)) {
    v1::ArtifactStatement statement;
    statement.set_manifest_digest(digest.raw());
    statement.set_model(model);
    statement.set_source_digest(manifest.source().digest());
    statement.set_recipe(manifest.target().recipe());
    statement.set_sealed_ms(now_ms);
    QF_ASSIGN_OR_RETURN(record.statements.emplace_back(),
                        with_.authority.SignStatement(trust::kArtifactStatementType,
                                                      statement.SerializeAsString()));
  }
  return record;
}

absl::Status JobRunner::Seal(const JobRecord& record, const Made& made, const Measured& measured) {
  const std::string& name = record.job.name();
  std::vector<ArtifactRecord> artifacts;
  for (size_t i = 0; i < made.manifests.size(); ++i) {
    QF_ASSIGN_OR_RETURN(ArtifactRecord artifact, MakeArtifact(record.job, made.manifests[i]));
    artifact.artifact.set_no_tokenizer(made.no_tokenizer);
    for (const v1::EvaluationStatement& evaluation : measured.statements[i]) {
      QF_ASSIGN_OR_RETURN(artifact.statements.emplace_back(),
                          with_.authority.SignStatement(trust::kEvaluationStatementType,
                                                        evaluation.SerializeAsString()));
    }
    artifacts.push_back(std::move(artifact));
  }
  v1::JobProgress progress;
  {
    std::lock_guard lock(mutex_);
    progress = live_[name].progress;
  }
  if (made.last) progress.set_stage("done"), progress.set_eta_seconds(0);

  FailPoint("job-before-artifacts");
  QF_RETURN_IF_ERROR(with_.store.Write([&](Transaction& tx) -> absl::Status {
    for (const ArtifactRecord& artifact : artifacts)
      QF_RETURN_IF_ERROR(Keep(tx, record.job, artifact));
    for (const v1::Manifest& manifest : made.manifests) {
      QF_ASSIGN_OR_RETURN(const std::vector<Digest> blobs, BlobsOf(manifest));
      QF_RETURN_IF_ERROR(tx.artifacts().ClearDamage(blobs));
    }
    QF_RETURN_IF_ERROR(tx.jobs().DeleteSlabs(name));
    std::vector<v1::MeasuredArtifact> sealed;
    for (const ArtifactRecord& artifact : artifacts) {
      QF_ASSIGN_OR_RETURN(const ArtifactRecord kept, tx.artifacts().Get(artifact.artifact.name()));
      sealed.push_back(MeasuredOf(kept));
    }
    const auto seal = [&](JobRecord& job) -> absl::Status {
      if (made.last) {
        job.job.set_state(v1::Job::SUCCEEDED);
        job.job.set_done(true);
        job.job.set_finished_ms(ToUnixMillis(with_.clock.Now()));
      } else {
        job.plan_digest.clear();  // the next pass has another
      }
      if (job.job.evaluation_error().empty()) job.job.set_evaluation_error(measured.error);
      *job.job.mutable_progress() = progress;
      for (const v1::MeasuredArtifact& artifact : sealed) {
        job.job.add_artifacts(artifact.name());
        *job.job.add_measured() = artifact;
      }
      job.job.mutable_step_ups()->Add(made.step_ups.begin(), made.step_ups.end());
      return absl::OkStatus();
    };
    return tx.jobs().Update(name, seal).status();
  }));
  FailPoint("job-after-artifacts");
  return absl::OkStatus();
}

absl::Status JobRunner::FinishBadly(const std::string& name, const absl::Status& status,
                                    bool cancelled) {
  v1::JobProgress progress;
  {
    std::lock_guard lock(mutex_);
    progress = live_[name].progress;
  }
  // The slabs stay: the next job with the same plan resumes from them.
  auto change = [&](JobRecord& job) -> absl::Status {
    if (job.job.done()) return absl::OkStatus();
    job.job.set_state(cancelled ? v1::Job::CANCELLED : v1::Job::FAILED);
    job.job.set_done(true);
    job.job.set_finished_ms(ToUnixMillis(with_.clock.Now()));
    *job.job.mutable_progress() = progress;
    if (!cancelled) {
      job.job.set_error_code(static_cast<int32_t>(status.code()));
      job.job.set_error_message(Message(status));
    }
    return absl::OkStatus();
  };
  return with_.store.Write([&](Transaction& tx) { return tx.jobs().Update(name, change); })
      .status();
}

void JobRunner::SetStage(const std::string& name, std::string_view stage) {
  {
    std::lock_guard lock(mutex_);
    Live& live = live_[name];
    if (stage == "quantizing") {  // what was read before was for a calibration
      live.progress.clear_bytes_read();
      live.progress.clear_bytes_total();
      live.first.reset();
    }
    live.progress.set_stage(std::string(stage));
    live.progress.set_eta_seconds(-1);
    live.published = with_.clock.Monotonic();
  }
  Publish(name);
}

void JobRunner::OnProgress(const std::string& name, const pipeline::Progress& progress) {
  const Duration now = with_.clock.Monotonic();
  bool publish = false;
  {
    std::lock_guard lock(mutex_);
    Live& live = live_[name];
    v1::JobProgress& out = live.progress;
    out.set_slabs_done(progress.slabs_done);
    out.set_slabs_total(progress.slabs_total);
    out.set_slabs_resumed(progress.slabs_resumed);
    out.set_bytes_read(progress.bytes_read);
    out.set_bytes_total(progress.bytes_total);
    out.set_bytes_written(progress.bytes_written);
    out.set_values_encoded(progress.values_encoded);
    // What an earlier run did says nothing about the speed of this one.
    const uint64_t made = progress.bytes_read - progress.bytes_resumed;
    if (!live.first) live.first = {now, made};
    const double seconds = static_cast<double>((now - live.first->first).count()) / 1000;
    const double bytes = static_cast<double>(made - live.first->second);
    if (seconds > 0 && bytes > 0) {
      out.set_bytes_per_second(bytes / seconds);
      out.set_eta_seconds(static_cast<double>(progress.bytes_total - progress.bytes_read) *
                          seconds / bytes);
    }
    publish = now - live.published >= kPublishInterval;
    if (publish) live.published = now;
  }
  if (publish) Publish(name);
}

}  // namespace quantfleet::daemon
