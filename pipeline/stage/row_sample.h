// Some rows of a piece, evenly spaced, as values: what is measured on a sample because all rows
// would take too long. The same model gives the same sample, whatever its file.
#pragma once

#include <vector>

#include "pipeline/model/source.h"

namespace quantfleet::pipeline {

struct RowSample {
  int64_t of = 0;    // rows that the piece has
  int64_t rows = 0;  // of the sample
  int64_t cols = 0;
  std::vector<float> values;  // [row][column], as they are computed with (Piece::lacks added)
};

// Which rows of `rows` they are: at most `most` of them (at least 1), in rising order.
std::vector<int64_t> SampledRows(int64_t rows, int64_t most);

// `piece` is an index into the description's pieces, of a matrix. UNIMPLEMENTED where this build
// cannot read its type; INVALID_ARGUMENT where a value is no finite number.
absl::StatusOr<RowSample> SampleRows(const ModelSource& source, size_t piece, int64_t most);

}  // namespace quantfleet::pipeline
