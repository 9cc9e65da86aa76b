// An artifact's size and what was measured of it, as answers show it. Pure.
#pragma once

#include <vector>

#include "daemon/store/artifact_store.h"
#include "quantfleet/v1/manifest.pb.h"
#include "quantfleet/v1/trust.pb.h"
#include "quantfleet/v1/types.pb.h"

namespace quantfleet::daemon {

// `evaluations`: the oldest first.
v1::MeasuredArtifact MeasuredOf(const v1::Artifact& artifact, const v1::Memory& memory,
                                const std::vector<v1::EvaluationStatement>& evaluations);
v1::MeasuredArtifact MeasuredOf(const ArtifactRecord& record);

}  // namespace quantfleet::daemon
