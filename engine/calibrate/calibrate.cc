#include "engine/calibrate/calibrate.h"

#include <algorithm>

namespace quantfleet::engine {
namespace {

double SecondsSince(const Clock& clock, Duration start) {
  return static_cast<double>((clock.Monotonic() - start).count()) / 1000;
}

}  // namespace

absl::StatusOr<CalibrationCost> CostOf(const pipeline::ModelDescription& model, int64_t tokens,
                                       int64_t chunk, bool second_moments, uint64_t memory_bytes,
                                       bool ranges) {
  if (model.family->encoder)
    return InvalidArgument("{} is an encoder ({}): calibration is of models that generate text",
                           model.name, model.family->name);
  CalibrationCost cost{.tokens = tokens,
                       .chunk = chunk,
                       .layers = model.hyper.layers,
                       .weight_bytes = LayersBytes(model),
                       .memory = PassMemoryOf(model, tokens, chunk, second_moments, ranges)};
  if (second_moments)
    for (int layer = 0; layer < model.hyper.layers; ++layer)
      for (const LayerInput& input : InputsOf(model, layer))
        if (HasMoments(input))
          cost.moments_bytes += static_cast<uint64_t>(
              input.matrices * SecondMoments::Values(input.cols) * int64_t{sizeof(float)});
  if (cost.memory.total() <= memory_bytes) return cost;
  const uint64_t rest = cost.memory.buffers + cost.memory.statistics,
                 each = cost.memory.states / static_cast<uint64_t>(tokens);
  const uint64_t fit = memory_bytes > rest ? (memory_bytes - rest) / each : 0;
  const auto chunks = fit / static_cast<uint64_t>(chunk);
  if (chunks == 0)
    return ResourceExhausted(
        "calibrating takes {} beside the states of the tokens, but --memory is {}: give it more{}",
        HumanBytes(rest), HumanBytes(memory_bytes),
        second_moments ? ", or leave out --second-moments" : "");
  return ResourceExhausted(
      "{} tokens take {}, but --memory is {}, which holds {}: use --chunks {}, or give it more",
      tokens, HumanBytes(cost.memory.total()), HumanBytes(memory_bytes),
      chunks * static_cast<uint64_t>(chunk), chunks);
}

absl::StatusOr<CalibrationResult> Calibrate(RunnableModel& model, CalibrationFolder& folder,
                                            const CalibrationOrigin& origin,
                                            std::span<const int32_t> tokens, const Clock& clock,
                                            const CalibrationOptions& options) {
  CalibrationResult result;
  QF_ASSIGN_OR_RETURN(result.layers_resumed, folder.Begin(model.description, origin));
  const auto layers = static_cast<int>(model.description.hyper.layers);
  const auto chunks = static_cast<uint64_t>(origin.tokens / origin.chunk);
  CalibrationProgress progress{.all = chunks * static_cast<uint64_t>(layers)};
  const auto tell = [&](int layer, int64_t chunks_done) {
    progress.layer = layer;
    progress.done = chunks * static_cast<uint64_t>(layer) + static_cast<uint64_t>(chunks_done);
    if (options.on_progress) options.on_progress(progress);
  };
  LayerPass pass(model, {.chunk = origin.chunk,
                         .second_moments = origin.second_moments,
                         .ranges = origin.ranges,
                         .stop = options.stop,
                         .on_progress = tell});
  if (result.layers_resumed > 0)
    pass.Resume(folder.TakeStates());
  else
    QF_RETURN_IF_ERROR(pass.Begin(tokens));
  const Duration start = clock.Monotonic();
  for (int layer = result.layers_resumed; layer < layers; ++layer) {
    const Duration began = clock.Monotonic();
    QF_ASSIGN_OR_RETURN(const std::vector<InputStatistics> statistics, pass.Run(layer));
    QF_RETURN_IF_ERROR(folder.Keep(layer, statistics, pass.TakeRanges(), pass.states()));
    progress.layer_seconds = SecondsSince(clock, began);
    tell(layer + 1, 0);
  }
  result.pass_seconds = SecondsSince(clock, start);
  QF_RETURN_IF_ERROR(folder.Finish());
  return result;
}

absl::StatusOr<double> TimeOneChunk(RunnableModel& model, std::span<const int32_t> tokens,
                                    int64_t chunk, bool second_moments, const Clock& clock) {
  LayerPass pass(model, {.chunk = chunk, .second_moments = second_moments});
  QF_RETURN_IF_ERROR(pass.Begin(tokens.first(static_cast<size_t>(chunk))));
  const Duration start = clock.Monotonic();
  QF_RETURN_IF_ERROR(pass.Run(0).status());
  return SecondsSince(clock, start);
}

}  // namespace quantfleet::engine
