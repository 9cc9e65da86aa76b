// Takes a calibration text through a model, a layer at a time: all chunks through the first layer,
// then all through the next. Each weight is read once for the whole text, and the states of all
// tokens stay in memory. The layers are the transformer's own; what this adds is what their
// products are multiplied with. Threads do not change a figure. One thread at a time.
#pragma once

#include <functional>
#include <memory>
#include <stop_token>
#include <vector>

#include "engine/calibrate/column_sums.h"
#include "engine/calibrate/inputs.h"
#include "engine/calibrate/second_moments.h"
#include "engine/calibrate/value_range.h"
#include "engine/decode/runnable_model.h"

namespace quantfleet::engine {

// Of one input of a layer.
struct InputStatistics {
  LayerInput input;
  ColumnSums sums;
  // One for each matrix; none where they were not asked for, or are those of another input.
  std::vector<std::unique_ptr<SecondMoments>> moments = {};
};

// Memory in bytes that a pass over so many tokens takes, beside the weights, which are mapped.
struct PassMemory {
  uint64_t states = 0, buffers = 0, statistics = 0;
  uint64_t total() const { return states + buffers + statistics; }
};
PassMemory PassMemoryOf(const pipeline::ModelDescription& model, int64_t tokens, int64_t chunk,
                        bool second_moments, bool ranges = false);

// Bytes of the file that hold one layer's weights, and of all layers.
uint64_t LayerBytes(const pipeline::ModelDescription& model, int layer);
uint64_t LayersBytes(const pipeline::ModelDescription& model);

class LayerPass {
 public:
  struct Options {
    int64_t chunk = 0;  // tokens of a chunk, which the model's context takes
    bool second_moments = false;
    bool ranges = false;
    std::stop_token stop = {};
    // Called after each chunk of a layer.
    std::function<void(int layer, int64_t chunks_done)> on_progress = {};
  };
  // `model` was loaded with a context of a chunk at least, and must outlive it.
  LayerPass(RunnableModel& model, Options options) : model_(model), options_(std::move(options)) {}

  // The text, in whole chunks: the states are those in front of the first layer.
  absl::Status Begin(std::span<const int32_t> tokens);
  // States that an earlier pass left behind a layer.
  void Resume(std::vector<float> states) { states_ = std::move(states); }
  std::span<const float> states() const { return states_; }

  // Takes the states through one layer. DATA_LOSS names the layer and the tensor where values are
  // no finite numbers any more; CANCELLED when stopped, after which the states are of no use.
  absl::StatusOr<std::vector<InputStatistics>> Run(int layer);
  // Of the steps of the layer that ran last, those in front of the first layer or behind the last
  // one among them; none where they were not asked for.
  std::vector<ActivationRange> TakeRanges() { return std::move(ranges_); }

 private:
  absl::Status RunChunks(int layer, Transformer::OnInput take, Transformer::OnStep* watch);
  absl::Status CheckFinite(int layer, const std::vector<InputStatistics>& statistics) const;

  RunnableModel& model_;
  const Options options_;
  std::vector<float> states_;  // [token][hidden]
  std::vector<ActivationRange> ranges_;
};

}  // namespace quantfleet::engine
