// How much a model's answers suffer where some of its weights are spoiled: the weights of one role
// in one band of layers alone, on a text, as the divergence from the model as it is. By it a mix of
// types knows which errors matter (docs/quality.md#a-byte-budget).
//
// The text goes through the model once, and the states in front of each band stay in memory; each
// measurement then runs from its band's first layer on. Threads do not change a figure. One thread
// at a time.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <stop_token>
#include <vector>

#include "absl/functional/function_ref.h"
#include "common/base/bytes.h"
#include "engine/decode/runnable_model.h"

namespace quantfleet::engine {

// Weights that are spoiled together.
struct SensitivityCell {
  pipeline::Role role;
  int first_layer = -1, end_layer = 0;  // [first, end); -1 and 0: beside the layers

  bool Has(const pipeline::Piece& piece) const {
    return piece.role == role && piece.layer >= first_layer && piece.layer < end_layer;
  }
  bool operator==(const SensitivityCell&) const = default;
};

// Every role of matrices that are quantized, the layers cut into at most `bands` bands.
std::vector<SensitivityCell> CellsOf(const pipeline::ModelDescription& model, int bands);

struct SensitivityOptions {
  int64_t chunk = 256;        // tokens of a sequence, which the model's context takes
  uint64_t memory_bytes = 0;  // for states, what is compared with, and a cell's weights
  std::stop_token stop = {};
};

// Bytes of memory beside the mapped weights, for so many tokens of which `judged` are compared.
uint64_t SensitivityMemory(const pipeline::ModelDescription& model,
                           std::span<const SensitivityCell> cells, int64_t tokens, int64_t chunk,
                           int64_t judged);

class SensitivityProbe {
 public:
  // Changes rows of the piece of `role`, `layer` and `expert` (-1: not of an expert).
  using Spoil = absl::FunctionRef<absl::Status(pipeline::Role role, int layer, int expert,
                                               std::span<float> rows)>;

  // `model` must outlive it. Tokens are whole chunks; as many of them are compared, evenly spaced,
  // as memory allows. RESOURCE_EXHAUSTED: not even a few; DATA_LOSS: values that are not finite.
  static absl::StatusOr<std::unique_ptr<SensitivityProbe>> Prepare(
      RunnableModel& model, std::span<const int32_t> tokens, std::span<const SensitivityCell> cells,
      const SensitivityOptions& options);

  // Mean divergence of the model as it is from the model with the cell's weights spoiled, in nats
  // per token. The model is as it was afterwards.
  absl::StatusOr<double> Measure(const SensitivityCell& cell, Spoil spoil);

  int64_t judged() const { return judged_; }

 private:
  SensitivityProbe(RunnableModel& model, std::span<const int32_t> tokens,
                   SensitivityOptions options)
      : model_(model), tokens_(tokens.begin(), tokens.end()), options_(std::move(options)) {}

  // From `layer` on to the last one.
  absl::Status RunFrom(int layer, std::vector<float>& states,
                       absl::FunctionRef<void(int layer)> before);
  std::vector<float> Judged(std::span<const float> states) const;
  absl::Status KeepReference(std::span<const float> states);
  absl::StatusOr<double> Divergence(std::span<const float> states);
  absl::StatusOr<Matrix> Spoiled(pipeline::Role role, int layer, Spoil spoil, Bytes& held) const;

  RunnableModel& model_;
  const std::vector<int32_t> tokens_;
  const SensitivityOptions options_;
  int64_t judged_ = 0;
  std::vector<std::pair<int, std::vector<float>>> states_;  // in front of a layer, or of the head
  std::vector<float> reference_;                            // logarithms of probabilities
};

}  // namespace quantfleet::engine
