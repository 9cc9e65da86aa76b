// How a piece is cut into rows, source blocks, chunks and slabs (docs/formats/artifact.md), and how
// its rows are reordered within heads. Pure functions.
#pragma once

#include <bit>
#include <numeric>

#include "pipeline/artifact/encoding.h"
#include "pipeline/model/description.h"

namespace quantfleet::pipeline {

// A piece as the pipeline cuts it: a 1-D piece counts as rows of one element.
struct PieceShape {
  int64_t rows, cols;
};
inline PieceShape ShapeOf(const Piece& piece) {
  return piece.dims == 1 ? PieceShape{piece.cols, 1} : PieceShape{piece.rows, piece.cols};
}

// The largest power of two of rows that fits a chunk together with `padding` bytes behind them; 0:
// not even one.
inline int64_t RowsPerChunk(int64_t row_bytes, int64_t padding) {
  const int64_t fit = (static_cast<int64_t>(kMaxChunkBytes) - padding) / row_bytes;
  return fit < 1 ? 0 : static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(fit)));
}

// Rows of one block of the source digest.
inline int64_t RowsPerBlock(DType source, const PieceShape& shape) {
  return RowsPerChunk(RowBytes(source, shape.cols), 0);
}

// Rows that are read at once: whole source blocks, and whole heads where rows are permuted within
// them (head_rows is 1 where they are not). A slab is a multiple of it.
inline int64_t RowsPerRead(int64_t block_rows, int64_t head_rows) {
  return std::lcm(block_rows, head_rows);
}

// The row of the source that becomes row `row` of the target, both counted within one head of
// `head_rows` rows: interleaved row 2i+h is HF row h*d/2+i.
inline int64_t SourceRow(RowOrder from, RowOrder to, int64_t head_rows, int64_t row) {
  if (from == to) return row;
  const int64_t half = head_rows / 2;
  return to == RowOrder::kInterleaved ? row % 2 * half + row / 2 : row % half * 2 + row / half;
}

}  // namespace quantfleet::pipeline
