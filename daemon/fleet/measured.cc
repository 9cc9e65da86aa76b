#include "daemon/fleet/measured.h"

#include "daemon/trust/evaluation.h"
#include "pipeline/artifact/evaluation.h"
#include "pipeline/artifact/memory.h"

namespace quantfleet::daemon {

v1::MeasuredArtifact MeasuredOf(const v1::Artifact& artifact, const v1::Memory& memory,
                                const std::vector<v1::EvaluationStatement>& evaluations) {
  v1::MeasuredArtifact measured;
  measured.set_name(artifact.name());
  measured.set_format(artifact.format());
  measured.set_recipe(artifact.recipe());
  measured.set_size_bytes(artifact.size_bytes());
  if (const auto* picked = pipeline::PickEvaluation(evaluations, memory, 0, "")) {
    *measured.mutable_evaluation() = *picked;
    measured.mutable_evaluation()->clear_golden();
  }
  return measured;
}

v1::MeasuredArtifact MeasuredOf(const ArtifactRecord& record) {
  v1::Manifest manifest;
  if (!manifest.ParseFromString(record.manifest)) manifest.Clear();  // damaged: nothing is known
  return MeasuredOf(record.artifact, pipeline::MemoryOf(manifest),
                    EvaluationsIn(record.statements));
}

}  // namespace quantfleet::daemon
