#include "agent/update/assignment.h"

#include <algorithm>
#include <cmath>

#include "common/trust/name.h"
#include "common/trust/runtime.h"
#include "common/trust/statement.h"
#include "pipeline/artifact/evaluation.h"
#include "pipeline/artifact/manifest.h"

namespace quantfleet::agent {
namespace {

constexpr int kMaxSteps = 16;  // there are fewer precisions
constexpr uint32_t kMaxBudgetDays = 366;
constexpr uint64_t kMaxTokens = uint64_t{1} << 30;

absl::Status CheckStatement(const v1::DeviceArtifact& artifact, const Digest& manifest,
                            const v1::TrustRoot& root) {
  for (const v1::Signed& statement : artifact.statements()) {
    if (!trust::Verify(statement, trust::kArtifactStatementType, root).ok()) continue;
    v1::ArtifactStatement sealed;
    if (sealed.ParseFromString(statement.payload()) && sealed.manifest_digest() == manifest.raw())
      return absl::OkStatus();
  }
  return PermissionDenied("artifact {} is not signed by any key that this device trusts",
                          manifest.hex());
}

}  // namespace

absl::StatusOr<Assignment> ReadAssignment(const v1::Signed& statement, const v1::TrustRoot& root,
                                          std::string_view device_id) {
  QF_RETURN_IF_ERROR(trust::Verify(statement, trust::kAssignmentType, root));
  v1::Assignment said;
  if (!said.ParseFromString(statement.payload()))
    return InvalidArgument("the assignment cannot be parsed");
  if (said.device_id() != device_id)
    return PermissionDenied("the assignment is for device {}, this is {}", said.device_id(),
                            device_id);
  // The name becomes that of a folder.
  if (!trust::IsPlainName(said.model()))
    return InvalidArgument("the assignment's model name is not valid");
  if (said.release() == 0)
    return InvalidArgument("the assignment of {} has no release", said.model());
  Assignment assignment{
      .model = said.model(), .release = said.release(), .manifest = {}, .health = said.health()};
  const auto sound = [](double limit) { return std::isfinite(limit) && limit >= 0; };
  if (!sound(said.health().min_golden_agreement()) || !sound(said.health().min_tokens_per_second()))
    return InvalidArgument("the assignment of {} has an invalid health limit", said.model());
  if (said.network().budget_bytes() > 0 &&
      (said.network().budget_days() == 0 || said.network().budget_days() > kMaxBudgetDays))
    return InvalidArgument("the assignment of {} has a budget of {} days; it must be 1 to {}",
                           said.model(), said.network().budget_days(), kMaxBudgetDays);
  assignment.network = said.network();
  if (said.context().min_tokens() > said.context().tokens() || said.context().tokens() > kMaxTokens)
    return InvalidArgument(
        "the assignment of {} has a context of {} tokens and a minimum of {}; the maximum is {}",
        said.model(), said.context().tokens(), said.context().min_tokens(), kMaxTokens);
  assignment.context = said.context();
  if (said.manifest_digest().empty()) return assignment;
  if (said.has_runtime()) {
    QF_RETURN_IF_ERROR(
        Annotate(trust::CheckRuntime(said.runtime()), "the assignment of " + said.model()));
    assignment.runtime = said.runtime();
  }
  QF_ASSIGN_OR_RETURN(assignment.manifest, Digest::FromRaw(said.manifest_digest()));
  if (said.step_down_size() > kMaxSteps)
    return InvalidArgument("the assignment of {} has {} smaller artifacts; the maximum is {}",
                           said.model(), said.step_down_size(), kMaxSteps);
  for (const std::string& raw : said.step_down()) {
    QF_ASSIGN_OR_RETURN(const Digest step, Digest::FromRaw(raw));
    if (step == assignment.manifest || std::ranges::count(assignment.step_down, step) > 0)
      return InvalidArgument("the assignment of {} steps down to the artifact that it assigns",
                             said.model());
    assignment.step_down.push_back(step);
  }
  return assignment;
}

std::string ClaimedModel(const v1::Signed& statement) {
  v1::Assignment said;
  if (!said.ParseFromString(statement.payload()) || !trust::IsPlainName(said.model())) return "";
  return said.model();
}

absl::StatusOr<v1::Manifest> ReadArtifact(const v1::DeviceArtifact& artifact, const Digest& wanted,
                                          const v1::TrustRoot& root) {
  if (HashText(artifact.manifest()) != wanted)
    return DataLoss("the daemon sent a manifest whose digest is not {}", wanted.hex());
  QF_RETURN_IF_ERROR(CheckStatement(artifact, wanted, root));
  return pipeline::ParseManifest(artifact.manifest());
}

v1::Evaluations ReadEvaluations(const v1::DeviceArtifact& artifact, const Digest& manifest,
                                const v1::TrustRoot& root) {
  v1::Evaluations evaluations;
  for (const v1::Signed& statement : artifact.statements()) {
    if (!trust::Verify(statement, trust::kEvaluationStatementType, root).ok()) continue;
    v1::EvaluationStatement evaluation;
    if (!evaluation.ParseFromString(statement.payload()) ||
        evaluation.manifest_digest() != manifest.raw())
      continue;
    pipeline::KeepNewest(std::move(evaluation), *evaluations.mutable_evaluations());
  }
  return evaluations;
}

}  // namespace quantfleet::agent
