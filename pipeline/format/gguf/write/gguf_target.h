// The GGUF emitter: from a model and a recipe to the layout of one model.gguf
// (docs/formats/gguf.md).
#pragma once

#include <string_view>

#include "pipeline/format/target_format.h"

namespace quantfleet::pipeline {

inline constexpr std::string_view kModelFile = "model.gguf";

extern const TargetFormat kGgufFormat;

// Attachments become files beside model.gguf. `has_importance`: an importance file goes with the
// recipe. Errors name the tensor that the format cannot hold.
absl::StatusOr<TargetLayout> PlanGguf(const ModelDescription& model,
                                      const std::vector<Attachment>& attachments,
                                      const Recipe& recipe, bool has_importance = false);

}  // namespace quantfleet::pipeline
