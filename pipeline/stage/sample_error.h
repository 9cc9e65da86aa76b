// What rounding does to the products of rows: the measure by which folds and mixes are chosen. In
// F64 and in one order, so that it is the same everywhere. Pure.
#pragma once

#include <cstdint>
#include <span>

#include "pipeline/tensor/rounding/column_factor.h"

namespace quantfleet::pipeline {

// The mean over tokens of the squared error of the rows' products, of all rows together.
// `difference`: what rounding has changed, [row][column] of `cols` columns. `importance`: E[x^2] of
// each column; null: 1. With a factor of the input's second moments columns go together, else each
// counts by itself. Of an input whose columns are divided, difference and factor are as divided and
// `importance` is that of the input as it was, unless there is no factor: then it is divided, too.
double ProductError(std::span<const float> difference, int64_t cols, const float* importance,
                    const ColumnFactor* factor);
// Memory that this takes of so many rows.
uint64_t ProductErrorBytes(int64_t rows, int64_t cols);

}  // namespace quantfleet::pipeline
