// What tells one model's weights from another's without reading them all.
#pragma once

#include "common/base/digest.h"
#include "pipeline/model/source.h"

namespace quantfleet::pipeline {

// A digest of the first, the middle and the last row of each piece: sources with the same digest of
// all weights have the same one, and models that were trained apart do not. Errors name the tensor.
absl::StatusOr<Digest> SourceSampleOf(const ModelSource& source);

}  // namespace quantfleet::pipeline
