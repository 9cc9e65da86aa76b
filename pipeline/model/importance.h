// How much each column of a model's matrices matters: the mean of x^2 over what the column was
// multiplied with, as a calibration run measured it. Encoders weigh errors with it. Plain values.
#pragma once

#include <vector>

#include "common/base/digest.h"

namespace quantfleet::pipeline {

struct Importance {
  Digest digest;  // SHA-256 of the file: a part of what an artifact was made by
  std::vector<std::vector<float>>
      columns;  // by ModelDescription::pieces; empty: the file says nothing of it

  // Null where the file says nothing of the piece.
  const float* Of(size_t piece) const {
    return piece < columns.size() && !columns[piece].empty() ? columns[piece].data() : nullptr;
  }
};

}  // namespace quantfleet::pipeline
