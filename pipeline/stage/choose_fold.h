// Chooses a fold by measurement, before the pass: of each site's consumers a few rows are rounded
// to four bits, with feedback where there are second moments, as they are and with their columns
// multiplied by powers of their inputs' sizes, and what leaves the least error of the products is
// taken. The same model and statistics give the same
// fold on every machine (docs/decisions/0060-folds.md).
#pragma once

#include <functional>
#include <memory>
#include <stop_token>

#include "pipeline/model/source.h"
#include "pipeline/stage/fold.h"

namespace quantfleet::pipeline {

struct FoldOptions {
  int threads = 0;  // 0: as many as cores
  // Bounds what is in flight: fewer workers run when it is not enough for all.
  uint64_t memory_bytes = 512u << 20;
  std::function<void(uint64_t done, uint64_t total)> on_progress =
      {};                     // sites; called from worker threads, one at a time
  std::stop_token stop = {};  // CANCELLED when it fires
};

// Has importance; without second moments columns count each by itself. Sites with weights that the
// source has as codes, or of which nothing was measured, are left alone. Errors are the source's
// and those of the moments; RESOURCE_EXHAUSTED where the memory is not enough for one site.
absl::StatusOr<std::shared_ptr<const Fold>> ChooseFold(const ModelSource& source,
                                                       const Calibration& calibration,
                                                       const FoldOptions& options);

}  // namespace quantfleet::pipeline
