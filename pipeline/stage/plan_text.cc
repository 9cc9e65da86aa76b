#include "pipeline/stage/plan_text.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "pipeline/family/family.h"
#include "pipeline/stage/geometry.h"
#include "pipeline/tensor/distortion.h"

namespace quantfleet::pipeline {
namespace {

std::string ShapeText(const PlannedTensor& tensor) {
  if (tensor.dims == 1) return fmt::format("{}", tensor.cols);
  const std::string matrix = fmt::format("{} x {}", tensor.rows / tensor.matrices, tensor.cols);
  return tensor.dims == 2 ? matrix : fmt::format("{} x {}", tensor.matrices, matrix);
}

std::string Percent(double share) {
  return share == 0 ? "0" : fmt::format("{:.3g} %", 100 * share);
}

// Sums over elements, of squared relative errors.
struct ErrorSum {
  double squares = 0, elements = 0;

  void Add(const ModelDescription& model, const PlacedPiece& placed) {
    const Piece& piece = model.pieces[placed.piece];
    const double n = static_cast<double>(piece.rows) * static_cast<double>(piece.cols);
    const double error = ExpectedError(model.tensors[piece.tensor].dtype, placed.dtype);
    squares += n * error * error;
    elements += n;
  }
  double root() const { return elements > 0 ? std::sqrt(squares / elements) : 0; }
};

void DescribeTarget(const ModelDescription& model, const Plan& plan, const TargetPlan& target,
                    const TargetRun& run, std::string& out) {
  const std::vector<PlannedTensor> tensors = TensorsOf(model, plan, target);
  size_t width = 6;
  for (const PlannedTensor& tensor : tensors) width = std::max(width, tensor.name.size());
  out += fmt::format("target {}:{}\n", target.spec.format, target.spec.recipe);
  for (const std::string& clause : target.spec.clauses()) out += fmt::format("  with {}\n", clause);
  if (target.spec.rounding != Rounding::kNearest)
    out += fmt::format("  rounding {}\n", Name(target.spec.rounding));
  out += fmt::format("  {:<{}}  {:>16}  {:>7}  {:>14}  {:>8}\n", "tensor", width, "shape", "scheme",
                     "bytes", "error");
  for (const PlannedTensor& tensor : tensors)
    out += fmt::format(
        "  {:<{}}  {:>16}  {:>7}  {:>14}  {:>8}{}{}\n", tensor.name, width, ShapeText(tensor),
        Info(tensor.dtype).name, tensor.bytes, Percent(tensor.expected_error),
        tensor.weighed ? "  weighed" : "",
        tensor.asked == tensor.dtype ? "" : fmt::format("  not {}", Info(tensor.asked).name));
  for (const OutputFile& file : target.layout.files)
    out += fmt::format("  file {}/{}: {} bytes ({})\n", target.spec.name(), file.path, file.size,
                       HumanBytes(file.size));
  out += fmt::format("  expected relative error of all weights: {}\n",
                     Percent(ExpectedErrorOf(model, target)));
  out += fmt::format("  {} chunks, {} in total\n", target.chunks.size(),
                     HumanBytes(TargetBytes(target)));
  out += fmt::format("  needs {} of memory to run\n", DescribeNeed(run.need));
  if (!run.fit) return;
  out += fmt::format(
      "  on a device of {}: {}\n", HumanBytes(run.fit->device_bytes),
      run.fit->fits
          ? fmt::format("fits; the largest context that fits is {} tokens", run.fit->longest)
      : run.fit->longest == 0
          ? "does not fit with any context"
          : fmt::format("does not fit; a context of {} tokens does", run.fit->longest));
}

}  // namespace

std::vector<PlannedTensor> TensorsOf(const ModelDescription& model, const Plan& plan,
                                     const TargetPlan& target) {
  std::vector<PlannedTensor> tensors;
  std::vector<ErrorSum> errors;
  std::unordered_map<std::string_view, DType> asked;
  for (const TypeFallback& fallback : target.layout.fallbacks)
    asked.emplace(fallback.tensor, fallback.asked);
  std::unordered_map<std::string_view, size_t> by_name;  // parts of a tensor may stand far apart
  for (const PlacedPiece& placed : target.layout.pieces) {
    const Piece& piece = model.pieces[placed.piece];
    const PieceShape shape = ShapeOf(piece);
    const uint64_t bytes = static_cast<uint64_t>(PlacedBytes(placed, shape.rows, shape.cols));
    const bool rounds = target.spec.rounding != Rounding::kNearest;
    const bool weighs = Info(placed.dtype).weighs || (rounds && FindBlockGrid(placed.dtype));
    const size_t index = by_name.emplace(placed.tensor, tensors.size()).first->second;
    if (index == tensors.size()) {
      tensors.push_back({placed.tensor, 0, 0, piece.dims, placed.dtype, 0, 0, false});
      if (const auto it = asked.find(placed.tensor); it != asked.end())
        tensors.back().asked = it->second;
      errors.emplace_back();
    }
    PlannedTensor& tensor = tensors[index];
    tensor.bytes += bytes;
    if (!HoldsCodes(placed.part)) continue;  // counted with its codes
    tensor.rows = piece.dims == 1 ? 1 : tensor.rows + piece.rows;
    tensor.cols = piece.dims == 1 ? tensor.cols + piece.cols : piece.cols;
    if (piece.expert >= 0) tensor.dims = 3, tensor.matrices = piece.expert + 1;
    errors[index].Add(model, placed);
    tensor.expected_error = errors[index].root();
    const Importance* importance = plan.ImportanceFor(target.spec);
    if (weighs && importance != nullptr)
      tensor.weighed = tensor.weighed || (rounds ? importance->OrStandIn(placed.piece)
                                                 : importance->Of(placed.piece)) != nullptr;
  }
  return tensors;
}

double ExpectedErrorOf(const ModelDescription& model, const TargetPlan& target) {
  ErrorSum error;
  for (const PlacedPiece& placed : target.layout.pieces)
    if (HoldsCodes(placed.part)) error.Add(model, placed);
  return error.root();
}

uint64_t TargetBytes(const TargetPlan& target) {
  uint64_t total = 0;
  for (const OutputFile& file : target.layout.files) total += file.size;
  return total;
}

absl::StatusOr<std::vector<TargetRun>> RunsOf(const Plan& plan, const RunWish& wish) {
  std::vector<TargetRun> runs;
  for (const TargetPlan& target : plan.targets) {
    const v1::Memory& memory = target.layout.memory;
    TargetRun run;
    absl::StatusOr<MemoryNeed> need = NeedOf(memory, wish.context, wish.kv_type);
    if (!need.ok()) return Annotate(need.status(), target.spec.name());
    run.need = *std::move(need);
    if (wish.device_bytes > 0) {
      const bool fits = run.need.total() <= wish.device_bytes;
      const uint64_t longest =
          LargestContext(memory, wish.kv_type, wish.device_bytes, memory.model_context());
      run.fit = {wish.device_bytes, fits, fits ? std::max(longest, run.need.context) : longest};
    }
    runs.push_back(std::move(run));
  }
  return runs;
}

std::string DescribePlan(const ModelDescription& model, const Plan& plan,
                         const std::vector<TargetRun>& runs) {
  std::string out =
      fmt::format("source: {}, {} parameters, {} to read in {} slabs\n", model.family->name,
                  model.Parameters(), HumanBytes(plan.source_bytes), plan.slabs.size());
  if (const auto& importance = plan.calibration.importance)
    out += fmt::format("importance: {}\n", importance->digest.hex());
  if (const auto& moments = plan.calibration.moments)
    out += fmt::format("second moments: {}\n", moments->digest().hex());
  for (size_t t = 0; t < plan.targets.size(); ++t)
    DescribeTarget(model, plan, plan.targets[t], runs[t], out);
  return out;
}

}  // namespace quantfleet::pipeline
