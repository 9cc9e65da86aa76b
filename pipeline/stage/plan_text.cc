#include "pipeline/stage/plan_text.h"

#include <algorithm>

#include "pipeline/stage/geometry.h"

namespace quantfleet::pipeline {
namespace {

std::string ShapeText(const PlannedTensor& tensor) {
  return tensor.dims == 1 ? fmt::format("{}", tensor.cols) : fmt::format("{} x {}", tensor.rows, tensor.cols);
}

void DescribeTarget(const ModelDescription& model, const TargetPlan& target, std::string& out) {
  const std::vector<PlannedTensor> tensors = TensorsOf(model, target);
  size_t width = 6;
  for (const PlannedTensor& tensor : tensors) width = std::max(width, tensor.name.size());
  out += fmt::format("target {}:{}\n", target.spec.format, target.spec.recipe);
  out += fmt::format("  {:<{}}  {:>16}  {:>6}  {:>14}\n", "tensor", width, "shape", "scheme", "bytes");
  for (const PlannedTensor& tensor : tensors)
    out += fmt::format("  {:<{}}  {:>16}  {:>6}  {:>14}\n", tensor.name, width, ShapeText(tensor),
                       Info(tensor.dtype).name, tensor.bytes);
  for (const OutputFile& file : target.layout.files)
    out += fmt::format("  file {}/{}: {} bytes ({})\n", target.spec.name(), file.path, file.size,
                       HumanBytes(file.size));
  out += fmt::format("  {} chunks, {} in all; needs about {} of memory to run\n", target.chunks.size(),
                     HumanBytes(TargetBytes(target)), HumanBytes(target.layout.memory_bytes));
}

}  // namespace

std::vector<PlannedTensor> TensorsOf(const ModelDescription& model, const TargetPlan& target) {
  std::vector<PlannedTensor> tensors;
  for (const PlacedPiece& placed : target.layout.pieces) {
    const Piece& piece = model.pieces[placed.piece];
    const PieceShape shape = ShapeOf(piece);
    const uint64_t bytes = static_cast<uint64_t>(shape.rows * RowBytes(placed.dtype, shape.cols));
    if (!tensors.empty() && tensors.back().name == placed.tensor) {
      PlannedTensor& fused = tensors.back();
      (piece.dims == 1 ? fused.cols : fused.rows) += piece.dims == 1 ? piece.cols : piece.rows;
      fused.bytes += bytes;
    } else {
      tensors.push_back({placed.tensor, piece.rows, piece.cols, piece.dims, placed.dtype, bytes});
    }
  }
  return tensors;
}

uint64_t TargetBytes(const TargetPlan& target) {
  uint64_t total = 0;
  for (const OutputFile& file : target.layout.files) total += file.size;
  return total;
}

std::string DescribePlan(const ModelDescription& model, const Plan& plan) {
  std::string out =
      fmt::format("source: {}, {} parameters, {} to read in {} slabs\n", Name(model.architecture),
                  model.Parameters(), HumanBytes(plan.source_bytes), plan.slabs.size());
  for (const TargetPlan& target : plan.targets) DescribeTarget(model, target, out);
  return out;
}

}  // namespace quantfleet::pipeline
