#include "engine/calibrate/layer_pass.h"

#include <algorithm>
#include <cmath>

#include "pipeline/model/running_memory.h"

namespace quantfleet::engine {
PassMemory PassMemoryOf(const pipeline::ModelDescription& model, int64_t tokens, int64_t chunk,
                        bool second_moments) {
  PassMemory memory;
  memory.states = static_cast<uint64_t>(tokens * model.hyper.hidden) * sizeof(float);
  memory.buffers = pipeline::BuffersOf(model.hyper).fixed +
                   static_cast<uint64_t>(chunk * pipeline::LayerCacheBytesPerToken(
                                                     model.hyper, pipeline::DType::kF32));
  for (int layer = 0; layer < model.hyper.layers; ++layer) {
    uint64_t bytes = 0;
    for (const LayerInput& input : InputsOf(model, layer)) {
      const auto matrices = static_cast<uint64_t>(input.matrices);
      bytes += matrices * static_cast<uint64_t>(input.cols) * 2 * sizeof(double);
      if (second_moments && HasMoments(input)) bytes += matrices * SecondMoments::Bytes(input.cols);
    }
    memory.statistics = std::max(memory.statistics, bytes);
  }
  return memory;
}

uint64_t LayerBytes(const pipeline::ModelDescription& model, int layer) {
  uint64_t bytes = 0;
  for (const pipeline::Piece& piece : model.pieces)
    if (piece.layer == layer)
      bytes += static_cast<uint64_t>(
          piece.rows * pipeline::RowBytes(model.tensors[piece.tensor].dtype, piece.cols));
  return bytes;
}

uint64_t LayersBytes(const pipeline::ModelDescription& model) {
  uint64_t bytes = 0;
  for (int layer = 0; layer < model.hyper.layers; ++layer) bytes += LayerBytes(model, layer);
  return bytes;
}

absl::Status LayerPass::Begin(std::span<const int32_t> tokens) {
  states_.resize(tokens.size() * static_cast<size_t>(model_.description.hyper.hidden));
  return model_.transformer->Embed(tokens, states_);
}

absl::StatusOr<std::vector<InputStatistics>> LayerPass::Run(int layer) {
  std::vector<InputStatistics> statistics;
  for (LayerInput& input : InputsOf(model_.description, layer)) {
    ColumnSums sums(input.matrices, input.cols);
    InputStatistics& one = statistics.emplace_back(std::move(input), std::move(sums));
    if (!options_.second_moments || !HasMoments(one.input)) continue;
    for (int64_t i = 0; i < one.input.matrices; ++i)
      one.moments.push_back(std::make_unique<SecondMoments>(one.input.cols, *model_.pool));
  }
  const auto take = [&](const Transformer::ProductInput& product) {
    const auto one = std::ranges::find_if(statistics, [&](const InputStatistics& s) {
      return s.input.roles.front() == product.roles.front();
    });
    if (one == statistics.end()) return;  // the head of a model that makes embeddings
    const auto matrix = std::max(product.expert, 0);
    one->sums.Add(*model_.pool, matrix, product.rows);
    if (!one->moments.empty()) one->moments[static_cast<size_t>(matrix)]->Add(product.rows);
  };
  // A cache of its own for each layer: those of the others take no memory.
  QF_ASSIGN_OR_RETURN(const auto cache, model_.MakeCache(options_.chunk));
  const size_t each = static_cast<size_t>(options_.chunk * model_.description.hyper.hidden);
  for (size_t at = 0; at < states_.size(); at += each) {
    if (options_.stop.stop_requested()) return Cancelled("stopped while calibrating");
    QF_RETURN_IF_ERROR(model_.transformer->RunThroughLayer(
        layer, *cache, std::span(states_).subspan(at, std::min(each, states_.size() - at)), take));
    QF_RETURN_IF_ERROR(model_.Whole());
    if (options_.on_progress) options_.on_progress(layer, static_cast<int64_t>(at / each) + 1);
  }
  QF_RETURN_IF_ERROR(CheckFinite(layer, statistics));
  return statistics;
}

absl::Status LayerPass::CheckFinite(int layer,
                                    const std::vector<InputStatistics>& statistics) const {
  constexpr std::string_view kWhy =
      "the weights are damaged, or too large for this text: check the model with `quantfleet "
      "inspect`, or download it again";
  for (const InputStatistics& one : statistics)
    if (!one.sums.finite())
      return DataLoss("layer {}: what {} is multiplied with has values that are not finite; {}",
                      layer, one.input.names.front(), kWhy);
  if (!std::ranges::all_of(states_, [](float value) { return std::isfinite(value); }))
    return DataLoss("layer {}: it results in values that are not finite; {}", layer, kWhy);
  return absl::OkStatus();
}

}  // namespace quantfleet::engine
