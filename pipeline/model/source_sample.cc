#include "pipeline/model/source_sample.h"

#include "pipeline/tensor/dtype.h"

namespace quantfleet::pipeline {

absl::StatusOr<Digest> SourceSampleOf(const ModelSource& source) {
  const ModelDescription& model = source.description();
  Sha256 hash;
  Bytes row;
  for (const Piece& piece : model.pieces) {
    const SourceTensor& tensor = model.tensors[piece.tensor];
    // A 1-D piece has rows of one element.
    const int64_t rows = piece.dims == 1 ? piece.cols : piece.rows,
                  cols = piece.dims == 1 ? 1 : piece.cols;
    row.resize(static_cast<size_t>(RowBytes(tensor.dtype, cols)));
    for (const int64_t at : {int64_t{0}, rows / 2, rows - 1}) {
      const auto offset = static_cast<uint64_t>(piece.first_row + at * piece.step) * row.size();
      QF_RETURN_IF_ERROR(Annotate(source.Read(piece.tensor, offset, row),
                                  fmt::format("tensor '{}'", tensor.name)));
      hash.Update(row);
    }
  }
  return hash.Finish();
}

}  // namespace quantfleet::pipeline
