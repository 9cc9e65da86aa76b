// Weights, and inputs whose columns go together, for the tests of rounding.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "pipeline/tensor/codec.h"
#include "pipeline/tensor/dtype.h"
#include "pipeline/tensor/rounding/rounder.h"
#include "tests/support/noise.h"

namespace quantfleet::pipeline {

// A square matrix of doubles, row by row.
struct Moments {
  int64_t n;
  std::vector<double> values;

  double& at(int64_t i, int64_t j) { return values[static_cast<size_t>(i * n + j)]; }
  double at(int64_t i, int64_t j) const { return values[static_cast<size_t>(i * n + j)]; }

  std::vector<float> Triangle() const {
    std::vector<float> triangle;
    for (int64_t i = 0; i < n; ++i)
      for (int64_t j = 0; j <= i; ++j) triangle.push_back(static_cast<float>(at(i, j)));
    return triangle;
  }
  std::vector<float> Diagonal() const {
    std::vector<float> diagonal;
    for (int64_t i = 0; i < n; ++i) diagonal.push_back(static_cast<float>(at(i, i)));
    return diagonal;
  }
};

// What X' * X of `rows` inputs is on average, where neighbours resemble one another (each column is
// 0.7 of the one before, and noise) and some columns are much larger.
inline Moments MakeMoments(int64_t n, int64_t rows, uint64_t seed) {
  constexpr double kAlike = 0.7;
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal;
  std::vector<double> scale(static_cast<size_t>(n)), alike(static_cast<size_t>(n));
  for (double& s : scale) s = std::exp(normal(random));
  for (size_t apart = 0; apart < alike.size(); ++apart)
    alike[apart] = std::pow(kAlike, static_cast<double>(apart)) / (1 - kAlike * kAlike);
  Moments moments{n, std::vector<double>(static_cast<size_t>(n * n))};
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < n; ++j)
      moments.at(i, j) = static_cast<double>(rows) * scale[static_cast<size_t>(i)] *
                         scale[static_cast<size_t>(j)] *
                         alike[static_cast<size_t>(std::abs(i - j))];
  return moments;
}

inline absl::StatusOr<ColumnFactor> FactorOf(int64_t n, const std::vector<float>& triangle) {
  return ColumnFactor::Build(n, [&](uint64_t first, std::span<float> out) {
    std::copy_n(triangle.begin() + static_cast<ptrdiff_t>(first), out.size(), out.begin());
    return absl::OkStatus();
  });
}

inline std::vector<float> DecodeAll(DType type, const Bytes& blocks, int64_t n) {
  std::vector<float> values(static_cast<size_t>(n));
  FindCodec(type)->decode(blocks.data(), n, values.data());
  return values;
}

// The sum over rows of e * H * e', e being what a row's values lack.
inline double OutputError(const Moments& moments, const std::vector<float>& values,
                          const std::vector<float>& decoded) {
  const int64_t n = moments.n;
  double total = 0;
  for (size_t row = 0; row < values.size(); row += static_cast<size_t>(n))
    for (int64_t i = 0; i < n; ++i)
      for (int64_t j = 0; j < n; ++j)
        total += moments.at(i, j) *
                 (values[row + static_cast<size_t>(i)] - decoded[row + static_cast<size_t>(i)]) *
                 (values[row + static_cast<size_t>(j)] - decoded[row + static_cast<size_t>(j)]);
  return total;
}

inline Bytes RoundStrip(Rounding how, DType type, const std::vector<float>& values, int64_t cols,
                        const std::vector<float>& importance, const ColumnFactor* factor) {
  const BlockGrid& grid = *FindBlockGrid(type);
  const int64_t rows = static_cast<int64_t>(values.size()) / cols;
  Bytes out(static_cast<size_t>(rows * RowBytes(type, cols)));
  if (how == Rounding::kNearest) {
    FindCodec(type)->encode(values.data(), rows, cols, importance.data(), out.data());
    return out;
  }
  Rounder rounder;
  rounder.Search(grid, values.data(), rows, cols, importance.data(), out.data());
  if (how == Rounding::kFeedback)
    rounder.FeedBack(grid, *factor, values.data(), rows, cols, out.data());
  return out;
}

// The types that can be rounded otherwise than to the nearest, and made; those of rows have tests
// of their own.
inline std::vector<DType> RoundedTypes() {
  std::vector<DType> types;
  for (const DTypeInfo& info : kDTypes)
    if (const BlockGrid* grid = FindBlockGrid(info.type);
        grid != nullptr && grid->elements > 0 && FindCodec(info.type)->encode != nullptr)
      types.push_back(info.type);
  return types;
}

struct TypeName {
  std::string operator()(const ::testing::TestParamInfo<DType>& type) const {
    return std::string(Info(type.param).name);
  }
};

}  // namespace quantfleet::pipeline
