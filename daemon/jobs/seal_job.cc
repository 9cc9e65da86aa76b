// What a job does with what it has made: measure it, decide whether that is good enough for the
// classes, and seal it.
#include <unordered_map>

#include "common/base/fail_point.h"
#include "common/trust/statement.h"
#include "daemon/fleet/device_class.h"
#include "daemon/fleet/measured.h"
#include "daemon/jobs/job_runner.h"
#include "daemon/jobs/job_target.h"
#include "daemon/jobs/step_up.h"
#include "daemon/store/artifact_name.h"
#include "daemon/trust/evaluation.h"
#include "pipeline/artifact/manifest.h"
#include "pipeline/artifact/memory.h"

namespace quantfleet::daemon {
namespace {

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

}  // namespace

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
    made.push_back({JobTargetOf(manifest), pipeline::ArtifactBytes(manifest),
                    pipeline::MemoryOf(manifest), std::move(found)});
  };
  const absl::Status read = with_.store.Read([&](const Transaction& tx) -> absl::Status {
    QF_ASSIGN_OR_RETURN(classes, ClassesOf(tx, job.job));
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
  artifact.set_size_bytes(pipeline::ArtifactBytes(manifest));
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

}  // namespace quantfleet::daemon
