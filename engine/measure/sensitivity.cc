#include "engine/measure/sensitivity.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "engine/kernels/vector_ops.h"
#include "pipeline/model/running_memory.h"
#include "pipeline/tensor/codec.h"

namespace quantfleet::engine {
namespace {

using pipeline::DType;
using pipeline::ModelDescription;
using pipeline::Piece;
using pipeline::Role;

constexpr int64_t kFewest = 32;           // tokens that are compared
constexpr int64_t kSlabValues = 1 << 20;  // decoded at once

bool IsQuantized(const Piece& piece) {
  return piece.dims > 1 && piece.role != Role::kFfnRouter &&
         piece.role != Role::kPositionEmbedding && piece.role != Role::kTokenTypes;
}

// What spoiled weights are held in: the model's own floats, or F16 where it has none.
DType HeldAs(DType type) { return pipeline::IsFloat(type) ? type : DType::kF16; }

double LogSum(std::span<const float> logits) {
  const double most = *std::ranges::max_element(logits);
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - most);
  return std::log(sum) + most;
}

// Of the distribution whose logarithms are `wanted` from that of `logits`.
double DivergenceOf(std::span<const float> wanted, std::span<const float> logits) {
  const double total = LogSum(logits);
  double divergence = 0;
  for (size_t v = 0; v < wanted.size(); ++v)
    divergence += std::exp(static_cast<double>(wanted[v])) *
                  (static_cast<double>(wanted[v]) - (static_cast<double>(logits[v]) - total));
  return divergence;
}

uint64_t CellBytes(const ModelDescription& model, const SensitivityCell& cell) {
  uint64_t bytes = 0;
  for (const Piece& piece : model.pieces)
    if (cell.Has(piece))
      bytes += static_cast<uint64_t>(
          piece.rows * RowBytes(HeldAs(model.tensors[piece.tensor].dtype), piece.cols));
  return bytes;
}

}  // namespace

std::vector<SensitivityCell> CellsOf(const ModelDescription& model, int bands) {
  const auto layers = static_cast<int>(model.hyper.layers);
  const int count = std::clamp(bands, 1, std::max(layers, 1));
  std::vector<SensitivityCell> cells;
  for (const Piece& piece : model.pieces) {
    if (!IsQuantized(piece)) continue;
    SensitivityCell cell{piece.role};
    for (int band = 0; piece.layer >= 0 && band < count; ++band) {
      cell.first_layer = band * layers / count;
      cell.end_layer = (band + 1) * layers / count;
      if (cell.Has(piece)) break;
    }
    if (std::ranges::find(cells, cell) == cells.end()) cells.push_back(cell);
  }
  return cells;
}

uint64_t SensitivityMemory(const ModelDescription& model, std::span<const SensitivityCell> cells,
                           int64_t tokens, int64_t chunk, int64_t judged) {
  std::set<int> starts{0};
  uint64_t widest = 0;
  for (const SensitivityCell& cell : cells) {
    starts.insert(std::max(cell.first_layer, 0));
    widest = std::max(widest, CellBytes(model, cell));
  }
  const uint64_t states =
      static_cast<uint64_t>(tokens * model.hyper.hidden) * sizeof(float) * (starts.size() + 2);
  return states + widest + static_cast<uint64_t>(judged * model.hyper.vocab) * sizeof(float) +
         pipeline::BuffersOf(model.hyper).fixed +
         static_cast<uint64_t>(chunk * pipeline::LayerCacheBytesPerToken(model.hyper, DType::kF32));
}

absl::StatusOr<std::unique_ptr<SensitivityProbe>> SensitivityProbe::Prepare(
    RunnableModel& model, std::span<const int32_t> tokens, std::span<const SensitivityCell> cells,
    const SensitivityOptions& options) {
  const auto count = static_cast<int64_t>(tokens.size());
  const uint64_t rest = SensitivityMemory(model.description, cells, count, options.chunk, 0),
                 each = static_cast<uint64_t>(model.description.hyper.vocab) * sizeof(float);
  const uint64_t fit = options.memory_bytes > rest ? (options.memory_bytes - rest) / each : 0;
  if (fit < static_cast<uint64_t>(std::min(count, kFewest)))
    return ResourceExhausted(
        "measuring sensitivities takes {}, but --memory is {}: give it more",
        HumanBytes(rest + each * static_cast<uint64_t>(std::min(count, kFewest))),
        HumanBytes(options.memory_bytes));
  std::unique_ptr<SensitivityProbe> probe(new SensitivityProbe(model, tokens, options));
  probe->judged_ = static_cast<int64_t>(std::min<uint64_t>(fit, static_cast<uint64_t>(count)));
  std::vector<float> states(tokens.size() * static_cast<size_t>(model.description.hyper.hidden));
  QF_RETURN_IF_ERROR(model.transformer->Embed(tokens, states));
  std::set<int> starts;
  for (const SensitivityCell& cell : cells)
    if (cell.first_layer >= 0) starts.insert(cell.first_layer);
  QF_RETURN_IF_ERROR(probe->RunFrom(0, states, [&](int layer) {
    if (starts.contains(layer)) probe->states_.emplace_back(layer, states);
  }));
  QF_RETURN_IF_ERROR(probe->KeepReference(states));
  const auto layers = static_cast<int>(model.description.hyper.layers);
  probe->states_.emplace_back(layers, std::move(states));
  return probe;
}

absl::Status SensitivityProbe::RunFrom(int layer, std::vector<float>& states,
                                       absl::FunctionRef<void(int)> before) {
  const auto layers = static_cast<int>(model_.description.hyper.layers);
  const auto each = static_cast<size_t>(options_.chunk * model_.description.hyper.hidden);
  for (; layer < layers; ++layer) {
    before(layer);
    QF_ASSIGN_OR_RETURN(const auto cache, model_.MakeCache(options_.chunk));
    for (size_t at = 0; at < states.size(); at += each) {
      if (options_.stop.stop_requested()) return Cancelled("stopped while measuring");
      QF_RETURN_IF_ERROR(model_.transformer->RunThroughLayer(
          layer, *cache, std::span(states).subspan(at, std::min(each, states.size() - at)),
          [](const Transformer::ProductInput&) {}));
    }
    QF_RETURN_IF_ERROR(model_.Whole());
  }
  return absl::OkStatus();
}

// The middle of each of as many equal parts of the text.
std::vector<float> SensitivityProbe::Judged(std::span<const float> states) const {
  const auto width = static_cast<size_t>(model_.description.hyper.hidden);
  const auto count = static_cast<int64_t>(tokens_.size());
  std::vector<float> some;
  some.reserve(static_cast<size_t>(judged_) * width);
  for (int64_t i = 0; i < judged_; ++i) {
    const auto row = static_cast<size_t>((2 * i + 1) * count / (2 * judged_));
    const auto from = states.subspan(row * width, width);
    some.insert(some.end(), from.begin(), from.end());
  }
  return some;
}

absl::Status SensitivityProbe::KeepReference(std::span<const float> states) {
  const auto vocab = static_cast<size_t>(model_.description.hyper.vocab);
  reference_.resize(static_cast<size_t>(judged_) * vocab);
  QF_RETURN_IF_ERROR(model_.transformer->JudgeStates(
      Judged(states), [&](int64_t i, std::span<const float> logits) {
        std::ranges::copy(logits, reference_.begin() + i * static_cast<int64_t>(vocab));
        return absl::OkStatus();
      }));
  model_.pool->ParallelFor(judged_, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const auto row = std::span(reference_).subspan(static_cast<size_t>(i) * vocab, vocab);
      const double total = LogSum(row);
      for (float& value : row) value = static_cast<float>(static_cast<double>(value) - total);
    }
  });
  if (!std::ranges::all_of(reference_, [](float v) { return std::isfinite(v); }))
    return DataLoss(
        "the model's answers are not finite numbers: check it with `quantfleet inspect`, or "
        "download it again");
  return absl::OkStatus();
}

absl::StatusOr<double> SensitivityProbe::Divergence(std::span<const float> states) {
  const auto vocab = static_cast<size_t>(model_.description.hyper.vocab),
             width = static_cast<size_t>(model_.description.hyper.hidden);
  std::vector<double> divergences(static_cast<size_t>(judged_));
  // As many at once as the threads share well.
  const auto some = static_cast<size_t>(Transformer::kJudged);
  std::vector<float> logits(some * vocab);
  const std::vector<float> judged = Judged(states);
  for (size_t first = 0; first < divergences.size(); first += some) {
    const size_t count = std::min(some, divergences.size() - first);
    QF_RETURN_IF_ERROR(model_.transformer->JudgeStates(
        std::span(judged).subspan(first * width, count * width),
        [&](int64_t i, std::span<const float> row) {
          std::ranges::copy(row, logits.begin() + i * static_cast<int64_t>(vocab));
          return absl::OkStatus();
        }));
    model_.pool->ParallelFor(static_cast<int64_t>(count), 1, [&](int64_t begin, int64_t end) {
      for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i)
        divergences[first + i] =
            DivergenceOf(std::span(reference_).subspan((first + i) * vocab, vocab),
                         std::span(logits).subspan(i * vocab, vocab));
    });
  }
  double sum = 0;
  for (const double one : divergences) sum += one;
  return sum / static_cast<double>(divergences.size());
}

absl::StatusOr<Matrix> SensitivityProbe::Spoiled(Role role, int layer, Spoil spoil,
                                                 Bytes& held) const {
  Matrix matrix = model_.transformer->matrix(role, layer);
  const Matrix from = matrix;
  const int64_t experts = pipeline::Info(role).of_expert ? model_.description.hyper.experts : 1,
                rows = from.rows / experts;
  matrix.type = HeldAs(from.type);
  matrix.row_bytes = RowBytes(matrix.type, from.cols);
  matrix.dot = ChosenOps().row_dot(matrix.type);
  matrix.decode = ChosenOps().row_decode(matrix.type);
  held.resize(static_cast<size_t>(from.rows * matrix.row_bytes));
  matrix.data = held.data();
  const pipeline::Codec* codec = pipeline::FindCodec(matrix.type);
  const int64_t step = std::max<int64_t>(1, kSlabValues / from.cols);
  std::vector<float> values;
  for (int64_t expert = 0; expert < experts; ++expert) {
    for (int64_t row = 0; row < rows; row += step) {
      if (options_.stop.stop_requested()) return Cancelled("stopped while measuring");
      const int64_t some = std::min(step, rows - row), at = expert * rows + row;
      values.resize(static_cast<size_t>(some * from.cols));
      for (int64_t r = 0; r < some; ++r)
        from.decode(from.row(at + r), from.cols, values.data() + r * from.cols);
      QF_RETURN_IF_ERROR(spoil(
          role, layer, pipeline::Info(role).of_expert ? static_cast<int>(expert) : -1, values));
      codec->encode(values.data(), some, from.cols, nullptr, held.data() + at * matrix.row_bytes);
    }
  }
  QF_RETURN_IF_ERROR(model_.Whole());
  return matrix;
}

absl::StatusOr<double> SensitivityProbe::Measure(const SensitivityCell& cell, Spoil spoil) {
  Transformer& transformer = *model_.transformer;
  std::map<int, Bytes> held;
  std::map<int, Matrix> own;
  // Whatever happens, the model is left as it was.
  struct PutBack {
    Transformer& transformer;
    const Role role;
    const std::map<int, Matrix>& own;
    ~PutBack() {
      for (const auto& [layer, matrix] : own) transformer.Replace(role, layer, matrix);
    }
  } const put_back{transformer, cell.role, own};
  for (int layer = cell.first_layer; layer < cell.end_layer; ++layer) {
    const Matrix was = transformer.matrix(cell.role, layer);
    if (was.rows == 0) continue;
    QF_ASSIGN_OR_RETURN(const Matrix spoiled, Spoiled(cell.role, layer, spoil, held[layer]));
    own.emplace(layer, was);
    transformer.Replace(cell.role, layer, spoiled);
  }
  const auto layers = static_cast<int>(model_.description.hyper.layers);
  const bool embeds = cell.role == Role::kTokenEmbedding;
  const int from = embeds ? 0 : cell.role == Role::kOutputHead ? layers : cell.first_layer;
  std::vector<float> states(tokens_.size() * static_cast<size_t>(model_.description.hyper.hidden));
  if (embeds) {
    QF_RETURN_IF_ERROR(transformer.Embed(tokens_, states));
  } else {
    const auto kept = std::ranges::find(states_, from, [](const auto& one) { return one.first; });
    if (kept == states_.end())
      return Internal("no states for {} from layer {}", Name(cell.role), from);
    states = kept->second;
  }
  QF_RETURN_IF_ERROR(RunFrom(from, states, [](int) {}));
  return Divergence(states);
}

}  // namespace quantfleet::engine
