// What was measured of a model's inputs, for rounding its weights (docs/quality.md). Plain values.
#pragma once

#include <memory>
#include <optional>

#include "common/base/digest.h"
#include "pipeline/model/activation_ranges.h"
#include "pipeline/model/importance.h"
#include "pipeline/model/second_moments.h"

namespace quantfleet::pipeline {

struct Calibration {
  std::shared_ptr<const Importance> importance = {};
  std::shared_ptr<const SecondMoments> moments = {};    // null: not measured, or not asked for
  std::shared_ptr<const ActivationRanges> ranges = {};  // null: not measured
  // Of the model that was calibrated: the source digest of its manifests
  // (docs/formats/artifact.md); nullopt: it is not known.
  std::optional<Digest> source = {};
};

}  // namespace quantfleet::pipeline
