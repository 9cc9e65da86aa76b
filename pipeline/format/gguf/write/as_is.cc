#include "pipeline/format/gguf/write/as_is.h"

#include <algorithm>
#include <utility>

#include "pipeline/family/validate.h"
#include "pipeline/format/gguf/write/gguf_target.h"
#include "pipeline/format/layout/assemble.h"
#include "pipeline/model/memory_terms.h"

namespace quantfleet::pipeline {
namespace {

// Between tensors there is less; what is longer gets chunks of its own.
constexpr size_t kMaxPadding = 64 << 10;

// Where a piece lies and how many bytes it has; a 1-D piece counts as rows of one element.
PlacedPiece Placed(const ModelDescription& model, const StoredModel& stored, uint32_t index) {
  const Piece& piece = model.pieces[index];
  const SourceTensor& tensor = model.tensors[piece.tensor];
  const int64_t row_bytes = RowBytes(tensor.dtype, piece.dims == 1 ? 1 : piece.cols);
  return {
      .piece = index,
      .file = 0,
      .offset = stored.tensors[piece.tensor] + static_cast<uint64_t>(piece.first_row * row_bytes),
      .dtype = tensor.dtype,
      .order = piece.order,
      .padding = 0,
      .tensor = tensor.name,
      .lacks = piece.lacks};
}

uint64_t EndOf(const ModelDescription& model, const PlacedPiece& placed) {
  const Piece& piece = model.pieces[placed.piece];
  return placed.offset + static_cast<uint64_t>(piece.rows * RowBytes(placed.dtype, piece.cols));
}

}  // namespace

absl::StatusOr<TargetLayout> PlanAsIs(const ModelSource& source, const Recipe& recipe,
                                      bool has_importance) {
  if (!recipe.changes.empty() || has_importance)
    return InvalidArgument(
        "gguf:{} takes the source's own bytes: it cannot be changed by types or an importance "
        "matrix",
        recipe.name);
  const ModelDescription& model = source.description();
  QF_RETURN_IF_ERROR(Validate(model));
  QF_ASSIGN_OR_RETURN(StoredModel stored, source.AsStored());
  PlannedFile out{{std::string(kModelFile), stored.size, {}}, {}};
  for (uint32_t i = 0; i < model.pieces.size(); ++i) out.pieces.push_back(Placed(model, stored, i));
  std::ranges::sort(out.pieces, {}, &PlacedPiece::offset);
  for (StoredModel::Range& range : stored.rest) {
    const bool zero = std::ranges::all_of(range.bytes, [](char c) { return c == '\0'; });
    const auto behind =
        std::ranges::upper_bound(out.pieces, range.offset, {}, &PlacedPiece::offset);
    PlacedPiece* before = behind == out.pieces.begin() ? nullptr : &*std::prev(behind);
    if (zero && range.bytes.size() <= kMaxPadding && before != nullptr &&
        EndOf(model, *before) == range.offset)
      before->padding = static_cast<uint32_t>(range.bytes.size());
    else
      out.file.fixed.push_back({range.offset, std::move(range.bytes)});
  }
  std::vector<PlannedFile> files;
  files.push_back(std::move(out));
  v1::Memory memory = EngineMemory(model.hyper, WeightBytes(files));
  return Assemble(std::move(memory), std::move(files), source.attachments());
}

}  // namespace quantfleet::pipeline
