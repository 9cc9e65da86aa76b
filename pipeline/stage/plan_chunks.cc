#include "pipeline/stage/plan_chunks.h"

#include <algorithm>
#include <utility>

#include "pipeline/artifact/manifest.h"
#include "pipeline/stage/geometry.h"
#include "pipeline/tensor/codec.h"

namespace quantfleet::pipeline {
namespace {

// Bytes of one file that are accounted for: fixed bytes, or a piece.
struct Extent {
  uint64_t offset, size;
  const FixedBytes* fixed;
  const PlacedPiece* placed;
};

absl::Status CheckSourcePiece(const ModelDescription& model, const Piece& piece) {
  if (piece.tensor >= model.tensors.size())
    return Internal("piece {} refers to no tensor", Name(piece.role));
  const SourceTensor& tensor = model.tensors[piece.tensor];
  if (!FindCodec(tensor.dtype))
    return Unimplemented("tensor '{}': this build cannot read {}", tensor.name,
                         Info(tensor.dtype).name);
  const bool inside =
      piece.dims == 1
          ? piece.first_row >= 0 &&
                piece.first_row + (piece.cols - 1) * piece.step < tensor.rows * tensor.cols
          : piece.first_row >= 0 && piece.first_row + (piece.rows - 1) * piece.step < tensor.rows &&
                piece.cols == tensor.cols;
  if (!inside || piece.rows < 1 || piece.cols < 1)
    return Internal("piece {} is not within tensor '{}'", Name(piece.role), tensor.name);
  if (!Divides(tensor.dtype, ShapeOf(piece).cols))
    return InvalidArgument("tensor '{}': its rows of {} elements are not whole blocks of {}",
                           tensor.name, ShapeOf(piece).cols, Info(tensor.dtype).name);
  if (RowsPerBlock(tensor.dtype, ShapeOf(piece)) == 0)
    return Unimplemented("tensor '{}': one row has {}, which exceeds the chunk size of {}",
                         tensor.name,
                         HumanBytes(static_cast<uint64_t>(RowBytes(tensor.dtype, piece.cols))),
                         HumanBytes(kMaxChunkBytes));
  return absl::OkStatus();
}

absl::Status CheckPlaced(const ModelDescription& model, const TargetLayout& layout,
                         const PlacedPiece& placed) {
  if (placed.piece >= model.pieces.size() || placed.file >= layout.files.size())
    return Internal("tensor '{}' has no piece or no file in the plan", placed.tensor);
  const Piece& piece = model.pieces[placed.piece];
  const PieceShape shape = ShapeOf(piece);
  if (!FindCodec(placed.dtype))
    return Unimplemented("tensor '{}': this build cannot make {}", placed.tensor,
                         Info(placed.dtype).name);
  if (!Divides(placed.dtype, shape.cols))
    return Internal("tensor '{}': its rows of {} elements cannot be divided into blocks of {}",
                    placed.tensor, shape.cols, Info(placed.dtype).name);
  if (!HasPart(placed.dtype, placed.part))
    return Internal("tensor '{}': {} has no such part", placed.tensor, Info(placed.dtype).name);
  if (RowsPerChunk(RowBytes(placed, shape.cols), placed.padding) == 0)
    return Unimplemented("tensor '{}': one row has {} as {}, which exceeds the chunk size of {}",
                         placed.tensor,
                         HumanBytes(static_cast<uint64_t>(RowBytes(placed, shape.cols))),
                         Info(placed.dtype).name, HumanBytes(kMaxChunkBytes));
  // Of codes as wide as a chunk a single row would be one, and its points not whole bytes.
  const int64_t bits = PartRowBits(placed.part, placed.dtype, shape.cols);
  if (bits % 8 != 0 &&
      (shape.rows * bits % 8 != 0 || RowsPerChunk(RowBytes(placed.dtype, shape.cols), 0) < 2))
    return Internal("tensor '{}': its zero points do not fill whole bytes", placed.tensor);
  const int64_t head = model.hyper.head_dim;
  if (placed.order != piece.order && (head < 2 || head % 2 || shape.rows % head))
    return InvalidArgument("tensor '{}': {} rows are not a multiple of the head size of {} rows",
                           placed.tensor, shape.rows, head);
  return absl::OkStatus();
}

// Every byte of the file, in order, each once.
absl::StatusOr<std::vector<Extent>> ExtentsOf(const ModelDescription& model,
                                              const TargetLayout& layout, uint32_t file) {
  std::vector<Extent> extents;
  for (const FixedBytes& fixed : layout.files[file].fixed)
    if (!fixed.bytes.empty())
      extents.push_back({fixed.offset, fixed.bytes.size(), &fixed, nullptr});
  for (const PlacedPiece& placed : layout.pieces) {
    if (placed.file != file) continue;
    const PieceShape shape = ShapeOf(model.pieces[placed.piece]);
    const auto bytes = static_cast<uint64_t>(PlacedBytes(placed, shape.rows, shape.cols));
    extents.push_back({placed.offset, bytes + placed.padding, nullptr, &placed});
  }
  std::ranges::sort(extents, {},
                    [](const Extent& extent) { return std::pair(extent.offset, extent.size); });
  uint64_t at = 0;
  for (const Extent& extent : extents) {
    if (extent.offset != at)
      return Internal("{}: the plan has a {} at byte {}", layout.files[file].path,
                      extent.offset > at ? "hole" : "overlap", std::min(at, extent.offset));
    at += extent.size;
  }
  if (at != layout.files[file].size)
    return Internal("{}: the plan fills {} of {} bytes", layout.files[file].path, at,
                    layout.files[file].size);
  return extents;
}

void CutFixed(uint32_t file, const Extent& extent, std::vector<PlannedChunk>& chunks) {
  for (uint64_t at = 0; at < extent.size; at += kMaxChunkBytes) {
    const auto size = static_cast<uint32_t>(std::min<uint64_t>(kMaxChunkBytes, extent.size - at));
    chunks.push_back({file, extent.offset + at, size, -1, 0, 0});
  }
}

// Rows of a chunk, by piece; 0: the target does not use it. The parts of one piece are cut at the
// same rows, where the widest of them fits, so that a slab stays small.
std::vector<int64_t> ChunkRowsOf(const ModelDescription& model, const TargetLayout& layout) {
  std::vector<int64_t> rows(model.pieces.size(), 0);
  for (const PlacedPiece& placed : layout.pieces) {
    const int64_t fit =
        RowsPerChunk(RowBytes(placed, ShapeOf(model.pieces[placed.piece]).cols), placed.padding);
    int64_t& most = rows[placed.piece];
    most = most == 0 ? fit : std::min(most, fit);
  }
  return rows;
}

void CutPiece(const ModelDescription& model, uint32_t file, const Extent& extent, int64_t most,
              std::vector<PlannedChunk>& chunks) {
  const PlacedPiece& placed = *extent.placed;
  const PieceShape shape = ShapeOf(model.pieces[placed.piece]);
  for (int64_t row = 0; row < shape.rows; row += most) {
    const int64_t rows = std::min(most, shape.rows - row);
    const int64_t size =
        PlacedBytes(placed, rows, shape.cols) + (row + rows == shape.rows ? placed.padding : 0);
    const auto before = static_cast<uint64_t>(PlacedBytes(placed, row, shape.cols));
    chunks.push_back({file, extent.offset + before, static_cast<uint32_t>(size),
                      static_cast<int32_t>(placed.piece), row, rows});
  }
}

absl::Status CheckFiles(const TargetLayout& layout) {
  for (size_t i = 0; i < layout.files.size(); ++i) {
    if (i && layout.files[i].path <= layout.files[i - 1].path)
      return Internal("the planned files are not sorted: {}", layout.files[i].path);
    if (layout.files[i].path == kManifestFile)
      return InvalidArgument(
          "the model contains a file '{}', which is the name of the manifest: rename it",
          kManifestFile);
  }
  for (size_t i = 1; i < layout.pieces.size(); ++i)
    if (std::pair(layout.pieces[i].file, layout.pieces[i].offset) <
        std::pair(layout.pieces[i - 1].file, layout.pieces[i - 1].offset))
      return Internal("the planned tensors are not sorted: {}", layout.pieces[i].tensor);
  return absl::OkStatus();
}

absl::StatusOr<TargetPlan> PlanTarget(const ModelDescription& model, TargetSpec spec,
                                      TargetLayout layout) {
  TargetPlan target{std::move(spec), std::move(layout), {}};
  for (const PlacedPiece& placed : target.layout.pieces)
    QF_RETURN_IF_ERROR(CheckPlaced(model, target.layout, placed));
  QF_RETURN_IF_ERROR(CheckFiles(target.layout));
  const std::vector<int64_t> most = ChunkRowsOf(model, target.layout);
  for (uint32_t file = 0; file < target.layout.files.size(); ++file) {
    QF_ASSIGN_OR_RETURN(const std::vector<Extent> extents, ExtentsOf(model, target.layout, file));
    for (const Extent& extent : extents) {
      if (extent.fixed) CutFixed(file, extent, target.chunks);
      if (extent.placed) CutPiece(model, file, extent, most[extent.placed->piece], target.chunks);
    }
  }
  return target;
}

// As tall as the tallest chunk among the targets and the source's block, all powers of two; and
// whole heads.
int64_t SlabRows(const ModelDescription& model, const Plan& plan,
                 const std::vector<std::vector<int64_t>>& chunk_rows, uint32_t index) {
  const Piece& piece = model.pieces[index];
  int64_t rows = RowsPerBlock(model.tensors[piece.tensor].dtype, ShapeOf(piece));
  for (const std::vector<int64_t>& of_target : chunk_rows) rows = std::max(rows, of_target[index]);
  return std::lcm(rows, PermutedHeadRows(model, plan, index));
}

}  // namespace

int64_t PermutedHeadRows(const ModelDescription& model, const Plan& plan, uint32_t piece) {
  if (!Info(model.pieces[piece].role).rotated) return 1;
  for (const TargetPlan& target : plan.targets)
    for (const PlacedPiece& placed : target.layout.pieces)
      if (placed.piece == piece && placed.order != model.pieces[piece].order)
        return model.hyper.head_dim;
  return 1;
}

absl::StatusOr<Plan> PlanFromLayouts(const ModelDescription& model,
                                     std::vector<std::pair<TargetSpec, TargetLayout>> layouts) {
  Plan plan;
  for (const Piece& piece : model.pieces) QF_RETURN_IF_ERROR(CheckSourcePiece(model, piece));
  for (auto& [spec, layout] : layouts) {
    QF_ASSIGN_OR_RETURN(TargetPlan target, PlanTarget(model, std::move(spec), std::move(layout)));
    plan.targets.push_back(std::move(target));
  }
  std::vector<std::vector<int64_t>> chunk_rows;
  for (const TargetPlan& target : plan.targets)
    chunk_rows.push_back(ChunkRowsOf(model, target.layout));
  for (uint32_t i = 0; i < model.pieces.size(); ++i) {
    const PieceShape shape = ShapeOf(model.pieces[i]);
    const int64_t most = SlabRows(model, plan, chunk_rows, i);
    for (int64_t row = 0; row < shape.rows; row += most)
      plan.slabs.push_back({i, row, std::min(most, shape.rows - row)});
    plan.source_bytes += static_cast<uint64_t>(
        shape.rows * RowBytes(model.tensors[model.pieces[i].tensor].dtype, shape.cols));
  }
  return plan;
}

}  // namespace quantfleet::pipeline
