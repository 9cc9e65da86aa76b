#include "pipeline/artifact/kind.h"

namespace quantfleet::pipeline {

ArtifactKind KindOf(const v1::Manifest& manifest) {
  if (manifest.kind() == v1::Manifest::KIND_EMBEDDING_MODEL) return ArtifactKind::kEmbeddingModel;
  const bool is_program = manifest.kind() == v1::Manifest::KIND_UNSPECIFIED
                              ? manifest.target().format() == kAgentFormat
                              : manifest.kind() == v1::Manifest::KIND_PROGRAM;
  return is_program ? ArtifactKind::kProgram : ArtifactKind::kModel;
}

ArtifactKind KindOfModel(std::string_view model) {
  return model == kAgentModel ? ArtifactKind::kProgram : ArtifactKind::kModel;
}

}  // namespace quantfleet::pipeline
