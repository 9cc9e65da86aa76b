#include "engine/calibrate/layer_pass.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "pipeline/model/running_memory.h"

namespace quantfleet::engine {
PassMemory PassMemoryOf(const pipeline::ModelDescription& model, int64_t tokens, int64_t chunk,
                        bool second_moments, bool ranges) {
  PassMemory memory;
  if (ranges) memory.statistics = std::size(kStepNames) * ValueRange::Bytes();
  memory.states = static_cast<uint64_t>(tokens * model.hyper.hidden) * sizeof(float);
  memory.buffers = pipeline::BuffersOf(model.hyper).fixed +
                   static_cast<uint64_t>(chunk * pipeline::LayerCacheBytesPerToken(
                                                     model.hyper, pipeline::DType::kF32));
  uint64_t widest = 0;
  for (int layer = 0; layer < model.hyper.layers; ++layer) {
    uint64_t bytes = 0;
    for (const LayerInput& input : InputsOf(model, layer)) {
      const auto matrices = static_cast<uint64_t>(input.matrices);
      bytes += matrices * static_cast<uint64_t>(input.cols) * 2 * sizeof(double);
      if (second_moments && HasMoments(input)) bytes += matrices * SecondMoments::Bytes(input.cols);
    }
    widest = std::max(widest, bytes);
  }
  memory.statistics += widest;
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
    const auto matrix = std::max(product.expert, 0);
    one->sums.Add(*model_.pool, matrix, product.rows);
    if (!one->moments.empty()) one->moments[static_cast<size_t>(matrix)]->Add(product.rows);
  };
  ranges_.clear();
  if (!options_.ranges) {
    QF_RETURN_IF_ERROR(RunChunks(layer, take, nullptr));
  } else {
    std::map<Step, ValueRange> of_steps;
    const auto add = [&](Step step, std::span<const float> values) { of_steps[step].Add(values); };
    if (layer == 0) {
      ValueRange embedded;
      embedded.Add(states_);
      ranges_.push_back(embedded.Summary("token_embd"));
    }
    Transformer::OnStep watch = add;
    QF_RETURN_IF_ERROR(RunChunks(layer, take, &watch));
    for (const auto& [step, range] : of_steps) {
      const std::string name =
          IsOuter(step) ? std::string(Name(step)) : fmt::format("blk.{}.{}", layer, Name(step));
      if (!range.finite())
        return DataLoss(
            "{} has values that are not finite: the weights are damaged, or too large "
            "for this text",
            name);
      ranges_.push_back(range.Summary(name));
    }
  }
  QF_RETURN_IF_ERROR(CheckFinite(layer, statistics));
  return statistics;
}

absl::Status LayerPass::RunChunks(int layer, Transformer::OnInput take,
                                  Transformer::OnStep* watch) {
  // A cache of its own for each layer: those of the others take no memory.
  QF_ASSIGN_OR_RETURN(const auto cache, model_.MakeCache(options_.chunk));
  const size_t each = static_cast<size_t>(options_.chunk * model_.description.hyper.hidden);
  for (size_t at = 0; at < states_.size(); at += each) {
    if (options_.stop.stop_requested()) return Cancelled("stopped while calibrating");
    const std::span<float> chunk =
        std::span(states_).subspan(at, std::min(each, states_.size() - at));
    Transformer& transformer = *model_.transformer;
    QF_RETURN_IF_ERROR(watch == nullptr
                           ? transformer.RunThroughLayer(layer, *cache, chunk, take)
                           : transformer.RunThroughLayer(layer, *cache, chunk, take, *watch));
    QF_RETURN_IF_ERROR(model_.Whole());
    if (options_.on_progress) options_.on_progress(layer, static_cast<int64_t>(at / each) + 1);
  }
  return absl::OkStatus();
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
