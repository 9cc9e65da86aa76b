// Damaged artifacts are made again by a job like the one that made them.
#include <algorithm>

#include "daemon/jobs/job_runner.h"
#include "daemon/jobs/job_target.h"
#include "daemon/jobs/model_place.h"
#include "daemon/jobs/step_up.h"
#include "pipeline/artifact/kind.h"

namespace quantfleet::daemon {
namespace {

// Everything that is recorded about how an artifact came about.
struct Origin {
  v1::Artifact artifact;
  v1::Job under_way;                 // a job that repairs it; no name: there is none
  std::optional<JobRecord> made_by;  // the latest that succeeded
  std::vector<v1::Model> versions;   // of the model, newest first
  std::vector<std::string> classes;  // of made_by, those that want this artifact
};

absl::StatusOr<Origin> OriginOf(const Transaction& tx, const v1::Artifact& artifact,
                                const std::vector<v1::Job>& jobs) {
  Origin origin;
  origin.artifact = artifact;
  const std::string& name = artifact.name();
  for (const v1::Job& job : jobs) {
    if (!job.done() && std::ranges::count(job.repairs(), name) > 0) origin.under_way = job;
    if (origin.made_by || job.state() != v1::Job::SUCCEEDED ||
        std::ranges::count(job.artifacts(), name) == 0)
      continue;
    QF_ASSIGN_OR_RETURN(origin.made_by, tx.jobs().Get(job.name()));
    origin.artifact.set_model(job.model());
  }
  if (auto versions = tx.models().ListVersions(origin.artifact.model()); versions.ok())
    origin.versions = *std::move(versions);
  if (!origin.made_by) return origin;
  for (const std::string& each : origin.made_by->job.device_classes()) {
    const auto device_class = tx.classes().Get(each);
    if (device_class.ok() && device_class->format() == origin.artifact.format() &&
        device_class->recipe() == origin.artifact.recipe())
      origin.classes.push_back(each);
  }
  return origin;
}

// Where the files may lie, as records name it: where they did, or where the same files came again.
std::vector<std::string> PlacesOf(const Origin& origin) {
  std::vector<std::string> places;
  if (origin.made_by) places.push_back(origin.made_by->source_path);
  const auto& own = origin.artifact.versions();
  for (const v1::Model& version : origin.versions) {
    const bool same = std::ranges::any_of(origin.versions, [&](const v1::Model& other) {
      return std::ranges::count(own, other.version()) > 0 &&
             (other.version() == version.version() ||
              (!other.files_digest().empty() && other.files_digest() == version.files_digest()));
    });
    if (same && std::ranges::count(places, version.path()) == 0) places.push_back(version.path());
  }
  return places;
}

// Jobs of the same files are one job.
bool AreOne(const JobRecord& a, const JobRecord& b) {
  return a.job.model() == b.job.model() && a.job.model_version() == b.job.model_version() &&
         a.source_path == b.source_path && a.source_fingerprint == b.source_fingerprint &&
         (!a.job.has_calibration() || !b.job.has_calibration() ||
          a.job.calibration().SerializeAsString() == b.job.calibration().SerializeAsString());
}

// As the job that made the artifact decided it: "gguf:q4_0+feedback".
std::string TargetOf(const Origin& origin) {
  const v1::Artifact& artifact = origin.artifact;
  if (pipeline::KindOfModel(artifact.model()) == pipeline::ArtifactKind::kProgram)
    return std::string(pipeline::kAgentFormat);
  if (origin.made_by) {
    const auto is_own = [&](const std::string& target) {
      const auto spec = ParseJobTarget(target);
      return spec.ok() && spec->format == artifact.format() && spec->recipe == artifact.recipe();
    };
    // A job's artifacts stand in the order of its targets; several may have the same recipe.
    const std::vector<std::string> targets = TargetsOf(*origin.made_by);
    const auto& made = origin.made_by->job.artifacts();
    const auto at = static_cast<size_t>(std::ranges::find(made, artifact.name()) - made.begin());
    if (at < targets.size() && is_own(targets[at])) return targets[at];
    if (const auto found = std::ranges::find_if(targets, is_own); found != targets.end())
      return *found;
  }
  return artifact.format() + ":" + artifact.recipe();
}

void Join(const JobRecord& from, JobRecord& to) {
  for (const std::string& target : from.targets)
    if (std::ranges::count(to.targets, target) == 0) to.targets.push_back(target);
  for (const std::string& name : from.job.device_classes())
    if (std::ranges::count(to.job.device_classes(), name) == 0) to.job.add_device_classes(name);
  to.job.mutable_repairs()->MergeFrom(from.job.repairs());
  if (from.job.has_calibration()) *to.job.mutable_calibration() = from.job.calibration();
}

}  // namespace

absl::StatusOr<JobRunner::Mend> JobRunner::PlanRepair(const Known& known,
                                                      const std::string& artifact) {
  const auto listed = std::ranges::find(known.artifacts, artifact, &v1::Artifact::name);
  if (listed == known.artifacts.end()) return NotFound("there is no {}", artifact);
  if (!listed->has_damage())
    return FailedPrecondition(
        "{} is not known to be damaged: `quantfleet artifact scrub` finds out", artifact);
  QF_ASSIGN_OR_RETURN(const Origin origin, with_.store.Read([&](const Transaction& tx) {
    return OriginOf(tx, *listed, known.jobs);
  }));
  const v1::Artifact& found = origin.artifact;
  Mend mend;
  mend.under_way = origin.under_way;
  if (!mend.under_way.name().empty()) return mend;

  const std::vector<std::string> places = PlacesOf(origin);
  const auto place = std::ranges::find_if(places, [&](const std::string& path) {
    return with_.files.Exists(PlaceOf(with_.files, options_.data, path));
  });
  if (place == places.end())
    return FailedPrecondition(
        "the files that {0} was made of are gone{1}: push or import them again under the name {2}, "
        "then run `quantfleet artifact repair {0}`, or make an artifact of other files and delete "
        "this one",
        artifact,
        places.empty() ? ""
                       : " (" + PlaceOf(with_.files, options_.data, places.front()).string() + ")",
        found.model());
  JobRecord& record = mend.record;
  record.source_path = *place;
  record.targets = {TargetOf(origin)};
  const auto target = ParseJobTarget(record.targets.front());
  if (target.ok() && target->calibrated)
    *record.job.mutable_calibration() = origin.made_by->job.calibration();
  // Files that changed where they lay would make another artifact: the job refuses them. Those of a
  // pushed version are known by their digests, and may have been pushed again.
  if (origin.made_by && origin.made_by->source_path == *place &&
      !IsPushed(options_.data, PlaceOf(with_.files, options_.data, *place))) {
    record.plan_digest = origin.made_by->plan_digest;
    record.source_fingerprint = origin.made_by->source_fingerprint;
  }
  record.job.set_model(found.model());
  record.job.set_model_version(origin.made_by          ? origin.made_by->job.model_version()
                               : found.versions_size() ? found.versions(0)
                                                       : 0);
  for (const std::string& name : origin.classes) record.job.add_device_classes(name);
  record.job.add_repairs(artifact);
  return mend;
}

std::vector<std::pair<std::string, absl::StatusOr<v1::Job>>> JobRunner::Repair(
    const std::vector<std::string>& artifacts) {
  std::vector<std::pair<std::string, absl::StatusOr<v1::Job>>> answers;
  std::vector<JobRecord> fresh;
  const auto known = with_.store.Read([](const Transaction& tx) -> absl::StatusOr<Known> {
    Known all;
    QF_ASSIGN_OR_RETURN(all.artifacts, tx.artifacts().List(""));
    QF_ASSIGN_OR_RETURN(all.jobs, tx.jobs().List());
    return all;
  });
  for (const std::string& artifact : artifacts) {
    auto mend = known.ok() ? PlanRepair(*known, artifact) : known.status();
    if (!mend.ok()) {
      answers.emplace_back(artifact, mend.status());
    } else if (!mend->under_way.name().empty()) {
      answers.emplace_back(artifact, std::move(mend->under_way));
    } else if (const auto same = std::ranges::find_if(
                   fresh, [&](const JobRecord& other) { return AreOne(other, mend->record); });
               same != fresh.end()) {
      Join(mend->record, *same);
    } else {
      fresh.push_back(std::move(mend->record));
    }
  }
  for (JobRecord& record : fresh) {
    record.job.set_name(with_.random.Id("jobs/"));
    record.job.set_state(v1::Job::QUEUED);
    record.job.set_created_ms(ToUnixMillis(with_.clock.Now()));
    record.job.mutable_progress()->set_eta_seconds(-1);
    const auto created =
        with_.store.Write([&](Transaction& tx) { return tx.jobs().Create(record, {}); });
    for (const std::string& artifact : record.job.repairs()) {
      if (created.ok())
        answers.emplace_back(artifact, created->job);
      else
        answers.emplace_back(artifact, created.status());
    }
  }
  if (!fresh.empty()) {
    {
      std::lock_guard lock(mutex_);
      work_ = true;
    }
    wake_.notify_all();
  }
  return answers;
}

}  // namespace quantfleet::daemon
