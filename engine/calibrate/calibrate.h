// A whole calibration: a text's tokens through every layer of a model, into a folder.
#pragma once

#include "common/base/clock.h"
#include "engine/calibrate/calibration_folder.h"
#include "engine/calibrate/layer_pass.h"

namespace quantfleet::engine {

// What a calibration takes, before it begins.
struct CalibrationCost {
  int64_t tokens = 0, chunk = 0, layers = 0;
  uint64_t weight_bytes = 0;   // read, each once
  uint64_t moments_bytes = 0;  // of the file of second moments
  PassMemory memory = {};
};
// INVALID_ARGUMENT: an encoder, which has no such layers. RESOURCE_EXHAUSTED: it takes more than
// `memory_bytes`; the message says how many tokens fit.
absl::StatusOr<CalibrationCost> CostOf(const pipeline::ModelDescription& model, int64_t tokens,
                                       int64_t chunk, bool second_moments, uint64_t memory_bytes,
                                       bool ranges = false);

struct CalibrationProgress {
  int layer = 0;               // the one under way
  uint64_t done = 0, all = 0;  // chunks times layers
  double layer_seconds = 0;    // that the last whole layer of this run took; 0: there is none
};

struct CalibrationOptions {
  std::stop_token stop = {};
  std::function<void(const CalibrationProgress&)> on_progress = {};
};

struct CalibrationResult {
  int layers_resumed = 0;
  double pass_seconds = 0;  // of this run's layers, with what is kept of them
};

// `tokens` are whole chunks, and `origin` says what they are. Errors are LayerPass's and the
// folder's; what is done stays for a run that resumes. The folder is whole on success.
absl::StatusOr<CalibrationResult> Calibrate(RunnableModel& model, CalibrationFolder& folder,
                                            const CalibrationOrigin& origin,
                                            std::span<const int32_t> tokens, const Clock& clock,
                                            const CalibrationOptions& options);

// Seconds that one chunk takes through the first layer, as a measure of all.
absl::StatusOr<double> TimeOneChunk(RunnableModel& model, std::span<const int32_t> tokens,
                                    int64_t chunk, bool second_moments, const Clock& clock);

}  // namespace quantfleet::engine
