// One job from claim to end: open, plan, execute, measure, seal; and again, with larger targets for
// the classes whose limits an artifact misses.
#include "common/base/fail_point.h"
#include "daemon/jobs/agent_release.h"
#include "daemon/jobs/class_bytes.h"
#include "daemon/jobs/job_journal.h"
#include "daemon/jobs/job_runner.h"
#include "daemon/jobs/model_place.h"
#include "daemon/jobs/step_up.h"
#include "pipeline/artifact/kind.h"
#include "pipeline/format/registry/open_model.h"

namespace quantfleet::daemon {
namespace {

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
  QF_RETURN_IF_ERROR(BoundBytes(record, *source));
  QF_ASSIGN_OR_RETURN(pipeline::Calibration calibration,
                      CalibrateFor(record, *source, files, job_stop.get_token()));
  QF_ASSIGN_OR_RETURN(const auto fold, FoldFor(record, *source, calibration, job_stop.get_token()));
  QF_ASSIGN_OR_RETURN(const std::vector<pipeline::TargetSpec> targets, TargetsNext(record));
  Made made;
  made.no_tokenizer = source->description().tokenizer.kind == text::TokenizerData::Kind::kNone;
  Measured measured;
  // A step up may turn out to be what is there already.
  if (!targets.empty()) {
    QF_ASSIGN_OR_RETURN(pipeline::Plan plan,
                        pipeline::MakePlan(*source, targets, std::move(calibration)));
    plan.fold = fold;
    QF_ASSIGN_OR_RETURN(made.manifests, MakeTargets(record, *source, plan, job_stop.get_token()));
    QF_ASSIGN_OR_RETURN(measured, Measure(record, *source, made.manifests, job_stop.get_token()));
  }
  SetStage(name, "sealing");
  QF_ASSIGN_OR_RETURN(made.step_ups, DecideStepUps(record, *source, made.manifests, measured));
  JobRecord after = record;
  after.job.mutable_step_ups()->Add(made.step_ups.begin(), made.step_ups.end());
  made.last = TargetsLeft(after).size() == made.manifests.size();
  return Seal(record, made, measured);
}

absl::StatusOr<std::vector<v1::Manifest>> JobRunner::MakeTargets(
    JobRecord& record, const pipeline::ModelSource& source, const pipeline::Plan& plan,
    const std::stop_token& stop) {
  const std::string& name = record.job.name();
  QF_RETURN_IF_ERROR(CheckPlan(record, source, plan));
  QF_ASSIGN_OR_RETURN(const auto journal, JobJournal::Load(with_.store, with_.blobs, plan, name,
                                                           options_.on_slab_recorded));
  BlobSink sink(with_.blobs);
  pipeline::ExecutorOptions options;
  options.threads = options_.threads;
  options.memory_bytes = options_.memory_bytes;
  options.journal = journal.get();
  options.on_progress = [&](const pipeline::Progress& progress) { OnProgress(name, progress); };
  options.stop = stop;
  SetStage(name, "quantizing");
  QF_ASSIGN_OR_RETURN(pipeline::ExecutorResult result,
                      pipeline::Execute(source, plan, sink, options));
  OnProgress(name, result.progress);
  QF_RETURN_IF_ERROR(NoteResult(record, result));
  if (result.manifests.size() != plan.targets.size())
    return Internal("the run returned {} manifests for {} targets", result.manifests.size(),
                    plan.targets.size());
  return std::move(result.manifests);
}

absl::Status JobRunner::BoundBytes(JobRecord& record, const pipeline::ModelSource& source) {
  const v1::Job& job = record.job;
  // Of a job that goes on it is decided, and a repair makes what was there.
  if (job.artifacts_size() > 0 || job.step_ups_size() > 0 || job.repairs_size() > 0)
    return absl::OkStatus();
  QF_ASSIGN_OR_RETURN(const std::vector<DeviceClassSpec> classes,
                      with_.store.Read([&](const Transaction& tx) { return ClassesOf(tx, job); }));
  QF_RETURN_IF_ERROR(KeepWithinBytes(classes, source, record));
  return record.job.step_ups_size() > 0 ? KeepDecisions(record) : absl::OkStatus();
}

absl::StatusOr<std::vector<DeviceClassSpec>> JobRunner::ClassesOf(const Transaction& tx,
                                                                  const v1::Job& job) const {
  std::vector<DeviceClassSpec> classes;
  for (const std::string& name : job.device_classes()) {
    const auto found = tx.classes().Get(name);
    if (absl::IsNotFound(found.status())) continue;  // it was there when the job was submitted
    QF_RETURN_IF_ERROR(found.status());
    // One from before there were limits in its record may lack the TOML.
    if (auto spec = ParseDeviceClass(found->toml()); spec.ok()) classes.push_back(*std::move(spec));
  }
  return classes;
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
