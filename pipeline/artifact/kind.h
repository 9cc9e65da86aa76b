// What an artifact is for: the one place that distinguishes models from programs. Pure.
#pragma once

#include <cstdint>
#include <string_view>

#include "quantfleet/v1/manifest.pb.h"

namespace quantfleet::pipeline {

enum class ArtifactKind : uint8_t {
  kModel,           // something runs it, as its device's class says
  kEmbeddingModel,  // a model too, whose answers are vectors
  kProgram,  // a release of the agent itself, which its device becomes: by architecture, without
             // class or evaluation
};

// The model whose artifacts are programs; no other may have the name. Their format.
inline constexpr std::string_view kAgentModel = "quantfleet-agent", kAgentFormat = "agent";

// What agents that run embedding models report (HardwareFacts.model_kinds).
inline constexpr std::string_view kEmbeddingKind = "embedding";

// By the manifest's kind; without one, by the format: releases of the agent leave it out as long as
// there are agents that do not know the field (docs/decisions/0028).
ArtifactKind KindOf(const v1::Manifest& manifest);

// The kind of the artifacts of the model with this name: all of them have the same.
ArtifactKind KindOfModel(std::string_view model);

}  // namespace quantfleet::pipeline
