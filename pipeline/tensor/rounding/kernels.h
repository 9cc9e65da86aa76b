// The inner loops of rounding, compiled once per instruction set. Values stand turned over: of a
// strip of rows, element i of row r at [i * stride + r], so that a lane is a row. Each row's sums
// are added in one order, whatever the number of lanes, and nothing is fused: the bits are the same
// on every machine (docs/decisions/0057-rounding-that-corrects-itself.md). Pure and thread-safe.
#pragma once

#include <cstdint>

#include "pipeline/tensor/rounding/block_grid.h"

namespace quantfleet::pipeline {

// Rows of a turned strip are padded to a multiple of it.
inline constexpr int64_t kRowStep = 16;
// Columns that are walked, and of a factor's tiles.
inline constexpr int64_t kTile = 64;

// sums[c * stride + r] += the sum over x < depth of a[x * a_depth + c * a_column] * b[x * b_stride
// + r], or -= it; c < columns, r < rows (a multiple of kRowStep).
struct TileProduct {
  const float* a;
  int64_t a_depth, a_column;
  const float* b;
  int64_t b_stride;
  float* sums;
  int64_t stride, depth, columns, rows;
  bool subtract;
};

// The grids of a turned strip's groups: group g of row r at [g * stride + r].
struct TurnedGrids {
  float *scales, *inverses, *offsets;  // inverse: 1 / scale, 0 where that is 0
};

// The walk through one tile's columns, from the last to the first.
struct TileWalk {
  const BlockGrid* grid;
  TurnedGrids grids;
  const int32_t* groups;          // of each column
  const float* factor;            // the tile on the diagonal, column by column
  const float* inverse_diagonal;  // of each column
  const float* sums;              // what columns walked before hand on, of column c at c * stride
  float* values;                  // the weights; become their errors
  uint8_t* codes;                 // less the grid's `low`
  int64_t stride, columns, rows;  // rows: a multiple of kRowStep
};

// One group of a turned strip, whose scales and mins are packed: `units` are what they multiply.
struct PackedSearch {
  const BlockGrid* grid;
  const float *unit_scales, *unit_offsets;  // of each row
  const float* values;
  const float* weights;
  float *scales, *mins;  // whole numbers, of each row: what the search begins with, and finds
  int64_t stride, rows;
};

struct RoundingKernels {
  // The scale of one group of `elements`, and its point or bias where it has one, for each of
  // `rows` rows: those of least sum of weights[i] * error^2 among candidates, the first of which
  // are the codec's own. They are values that the block can hold.
  void (*search)(const BlockGrid& grid, const float* values, int64_t elements, int64_t stride,
                 int64_t rows, const float* weights, float* scales, float* zeros);
  // Scales and mins of least sum of weights[i] * error^2 among those near what is given.
  void (*search_packed)(const PackedSearch& search);
  // Codes of one group: the nearest ones. `grids` are at the group.
  void (*nearest)(const BlockGrid& grid, const TurnedGrids& grids, const float* values,
                  int64_t elements, int64_t stride, int64_t rows, uint8_t* codes);
  void (*multiply)(const TileProduct& product);
  void (*walk)(const TileWalk& walk);
  // The lower factor L of a tile A = L * L', in place, column by column, and 1 / its diagonal.
  // False where a pivot is not above `least`.
  bool (*factor)(float* tile, float least, float* inverse_diagonal);
  // A tile below it: X with X * L' = tile.
  void (*solve)(const float* factor, const float* inverse_diagonal, float* tile);
};

// The best ones for this machine.
const RoundingKernels& FindRoundingKernels();

}  // namespace quantfleet::pipeline
