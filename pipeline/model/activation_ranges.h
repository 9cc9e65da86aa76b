// Within what a model's activations are, as a calibration measured them (docs/quality.md): what
// fixed scales of activations follow from. Plain values.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "common/base/digest.h"
#include "common/base/status.h"

namespace quantfleet::pipeline {

struct ValueRange {
  float low = 0, high = 0;  // finite, low <= high
};

struct ActivationRanges {
  Digest digest;  // SHA-256 of the file: a part of what an artifact was made by
  // "blk.3.ffn_down": the least and the greatest value.
  std::map<std::string, ValueRange, std::less<>> of = {};
};

// The text of a ranges.json, which is untrusted. INVALID_ARGUMENT, without the file's name, says
// what is wrong with it.
absl::StatusOr<ActivationRanges> ParseActivationRanges(std::string_view text);

}  // namespace quantfleet::pipeline
