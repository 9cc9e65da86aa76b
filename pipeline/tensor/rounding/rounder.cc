#include "pipeline/tensor/rounding/rounder.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "pipeline/tensor/codec.h"
#include "pipeline/tensor/dtype.h"
#include "pipeline/tensor/half.h"

namespace quantfleet::pipeline {
namespace {

constexpr std::string_view kNames[] = {"nearest", "search", "feedback"};  // by number

int64_t Padded(int64_t rows) { return (rows + kRowStep - 1) / kRowStep * kRowStep; }

// A stride of a large power of two would put all columns into a few sets of a cache.
int64_t StrideOf(int64_t padded) { return padded % 64 == 0 ? padded + kRowStep : padded; }

template <class T>
void Grow(std::vector<T>& buffer, int64_t size) {
  if (buffer.size() < static_cast<size_t>(size)) buffer.resize(static_cast<size_t>(size));
}

// A tile of columns and all rows at a time; place(i) is the column that goes to i.
template <class Place>
void Turn(const float* values, int64_t rows, int64_t cols, int64_t stride, int64_t padded,
          const Place& place, float* out) {
  for (int64_t first = 0; first < cols; first += kTile) {
    const int64_t end = std::min(cols, first + kTile);
    for (int64_t r = 0; r < padded; ++r) {
      const float* row = values + r * cols;
      for (int64_t i = first; i < end; ++i) out[i * stride + r] = r < rows ? row[place(i)] : 0.f;
    }
  }
}

// A block's scale, and its point or bias.
void StoreScale(const BlockGrid& grid, float scale, float zero, std::byte* block) {
  Store(block, FloatToHalf(scale));
  if (grid.search == GridSearch::kPoint) Store(block + 2, static_cast<uint8_t>(zero));
  if (grid.search == GridSearch::kBias) Store(block + 2, FloatToHalf(zero));
}

int64_t GroupOf(const BlockGrid& grid, int64_t cols) { return grid.group == 0 ? cols : grid.group; }

float Inverse(float scale) { return scale != 0.f ? 1.f / scale : 0.f; }

}  // namespace

std::string_view Name(Rounding rounding) { return kNames[static_cast<size_t>(rounding)]; }

absl::StatusOr<Rounding> RoundingFromName(std::string_view name) {
  const auto it = std::ranges::find(kNames, name);
  if (it != std::end(kNames)) return static_cast<Rounding>(it - std::begin(kNames));
  return InvalidArgument("rounding '{}' does not exist; there are {}", name,
                         fmt::join(kNames, ", "));
}

uint64_t Rounder::Bytes(const BlockGrid& grid, int64_t rows, int64_t cols) {
  const auto stride = static_cast<uint64_t>(StrideOf(Padded(rows)));
  const auto columns = static_cast<uint64_t>(cols);
  return stride *
         (columns * (sizeof(float) + 1) +
          (columns / static_cast<uint64_t>(GroupOf(grid, cols)) * 3 + kTile) * sizeof(float));
}

void Rounder::Fit(const BlockGrid& grid, int64_t rows, int64_t cols) {
  padded_rows_ = Padded(rows);
  stride_ = StrideOf(padded_rows_);
  Grow(turned_, cols * stride_);
  Grow(codes_, cols * stride_);
  Grow(sums_, kTile * stride_);
  for (std::vector<float>* of_groups : {&scales_, &inverses_, &offsets_})
    Grow(*of_groups, cols / GroupOf(grid, cols) * stride_);
}

void Rounder::Search(const BlockGrid& grid, const float* values, int64_t rows, int64_t cols,
                     const float* importance, std::byte* out) {
  if (grid.packed != nullptr) return SearchPacked(grid, values, rows, cols, importance, out);
  const RoundingKernels& kernels = FindRoundingKernels();
  Fit(grid, rows, cols);
  Turn(values, rows, cols, stride_, padded_rows_, [](int64_t i) { return i; }, turned_.data());
  const int64_t elements = BlockElements(grid.type, cols),
                block_bytes = BlockBytes(grid.type, cols), blocks = cols / elements;
  for (int64_t g = 0; g < blocks; ++g) {
    const float* group = turned_.data() + g * elements * stride_;
    const TurnedGrids grids = {scales_.data(), inverses_.data(), offsets_.data()};
    // The offsets' place has the zeros until they are stored.
    kernels.search(grid, group, elements, stride_, padded_rows_, importance + g * elements,
                   grids.scales, grids.offsets);
    for (int64_t r = 0; r < padded_rows_; ++r) {
      CodeGrid found = {0.f, 0.f};
      if (r < rows) {
        std::byte* block = out + (r * blocks + g) * block_bytes;
        StoreScale(grid, grids.scales[r], grids.offsets[r], block);
        grid.grids(block, &found);
      }
      grids.scales[r] = found.scale;
      grids.inverses[r] = Inverse(found.scale);
      grids.offsets[r] = found.offset;
    }
    kernels.nearest(grid, grids, group, elements, stride_, padded_rows_,
                    codes_.data() + g * elements * stride_);
  }
  WriteCodes(grid, rows, cols, out);
}

void Rounder::SearchPacked(const BlockGrid& grid, const float* values, int64_t rows, int64_t cols,
                           const float* importance, std::byte* out) {
  const RoundingKernels& kernels = FindRoundingKernels();
  FindCodec(grid.type)->encode(values, rows, cols, importance, out);
  Fit(grid, rows, cols);
  Turn(values, rows, cols, stride_, padded_rows_, [](int64_t i) { return i; }, turned_.data());
  const int64_t block_bytes = Info(grid.type).block_bytes, row_blocks = cols / grid.elements,
                block_groups = grid.elements / grid.group;
  std::vector<GroupScale> packed(static_cast<size_t>(block_groups));
  float *unit_scales = sums_.data(), *unit_offsets = unit_scales + stride_;
  for (int64_t b = 0; b < row_blocks; ++b) {
    // The places of a group's grid have its whole numbers until they are stored.
    float *scales = scales_.data(), *mins = offsets_.data();
    for (int64_t r = 0; r < padded_rows_; ++r) {
      CodeGrid unit = {0.f, 0.f};
      std::ranges::fill(packed, GroupScale{0, 0});
      if (r < rows) {
        const std::byte* block = out + (r * row_blocks + b) * block_bytes;
        unit = grid.packed->unit(block);
        grid.packed->load(block, packed.data());
      }
      unit_scales[r] = unit.scale;
      unit_offsets[r] = unit.offset;
      for (int64_t g = 0; g < block_groups; ++g) {
        scales[g * stride_ + r] = static_cast<float>(packed[g].scale);
        mins[g * stride_ + r] = static_cast<float>(packed[g].min);
      }
    }
    for (int64_t g = 0; g < block_groups; ++g) {
      const int64_t first = b * grid.elements + g * grid.group;
      kernels.search_packed({.grid = &grid,
                             .unit_scales = unit_scales,
                             .unit_offsets = unit_offsets,
                             .values = turned_.data() + first * stride_,
                             .weights = importance + first,
                             .scales = scales + g * stride_,
                             .mins = mins + g * stride_,
                             .stride = stride_,
                             .rows = padded_rows_});
    }
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t g = 0; g < block_groups; ++g)
        packed[g] = {static_cast<int>(scales[g * stride_ + r]),
                     static_cast<int>(mins[g * stride_ + r])};
      grid.packed->store(packed.data(), out + (r * row_blocks + b) * block_bytes);
    }
  }
  LoadGrids(grid, rows, cols, out);
  for (int64_t g = 0; g < cols / grid.group; ++g)
    kernels.nearest(grid,
                    {scales_.data() + g * stride_, inverses_.data() + g * stride_,
                     offsets_.data() + g * stride_},
                    turned_.data() + g * grid.group * stride_, grid.group, stride_, padded_rows_,
                    codes_.data() + g * grid.group * stride_);
  WriteCodes(grid, rows, cols, out);
}

void Rounder::LoadGrids(const BlockGrid& grid, int64_t rows, int64_t cols,
                        const std::byte* blocks) {
  const int64_t elements = BlockElements(grid.type, cols),
                block_bytes = BlockBytes(grid.type, cols), row_blocks = cols / elements,
                block_groups = elements / GroupOf(grid, cols);
  std::vector<CodeGrid> found(static_cast<size_t>(block_groups));
  for (int64_t r = 0; r < padded_rows_; ++r) {
    for (int64_t b = 0; b < row_blocks; ++b) {
      if (r < rows) {
        grid.grids(blocks + (r * row_blocks + b) * block_bytes, found.data());
      } else {
        std::ranges::fill(found, CodeGrid{0.f, 0.f});
      }
      for (int64_t g = 0; g < block_groups; ++g) {
        const int64_t at = (b * block_groups + g) * stride_ + r;
        scales_[at] = found[g].scale;
        inverses_[at] = Inverse(found[g].scale);
        offsets_[at] = found[g].offset;
      }
    }
  }
}

void Rounder::FeedBack(const BlockGrid& grid, const ColumnFactor& factor, const float* values,
                       int64_t rows, int64_t cols, std::byte* blocks) {
  const RoundingKernels& kernels = FindRoundingKernels();
  Fit(grid, rows, cols);
  const std::vector<int32_t>& order = factor.order();
  Turn(
      values, rows, cols, stride_, padded_rows_, [&](int64_t i) { return order[i]; },
      turned_.data());
  LoadGrids(grid, rows, cols, blocks);
  const int64_t group = GroupOf(grid, cols);
  std::vector<int32_t> group_of(static_cast<size_t>(cols));
  for (int64_t i = 0; i < cols; ++i) group_of[i] = static_cast<int32_t>(order[i] / group);
  std::vector<uint8_t> tile_codes(static_cast<size_t>(kTile * stride_));
  for (int64_t tile = factor.tiles() - 1; tile >= 0; --tile) {
    const int64_t first = tile * kTile, columns = std::min(kTile, cols - first);
    std::fill_n(sums_.begin(), columns * stride_, 0.f);
    for (int64_t walked = factor.tiles() - 1; walked > tile; --walked)
      kernels.multiply({.a = factor.tile(walked, tile),
                        .a_depth = 1,
                        .a_column = kTile,
                        .b = turned_.data() + walked * kTile * stride_,
                        .b_stride = stride_,
                        .sums = sums_.data(),
                        .stride = stride_,
                        .depth = std::min(kTile, cols - walked * kTile),
                        .columns = columns,
                        .rows = padded_rows_,
                        .subtract = false});
    kernels.walk({.grid = &grid,
                  .grids = {scales_.data(), inverses_.data(), offsets_.data()},
                  .groups = group_of.data() + first,
                  .factor = factor.tile(tile, tile),
                  .inverse_diagonal = factor.inverse_diagonal(tile),
                  .sums = sums_.data(),
                  .values = turned_.data() + first * stride_,
                  .codes = tile_codes.data(),
                  .stride = stride_,
                  .columns = columns,
                  .rows = padded_rows_});
    for (int64_t i = 0; i < columns; ++i)
      std::copy_n(tile_codes.data() + i * stride_, padded_rows_,
                  codes_.data() + order[first + i] * stride_);
  }
  WriteCodes(grid, rows, cols, blocks);
}

void Rounder::WriteCodes(const BlockGrid& grid, int64_t rows, int64_t cols, std::byte* blocks) {
  const int64_t elements = BlockElements(grid.type, cols),
                block_bytes = BlockBytes(grid.type, cols), row_blocks = cols / elements;
  std::vector<uint8_t> codes(static_cast<size_t>(kRowStep * elements));
  for (int64_t b = 0; b < row_blocks; ++b) {
    for (int64_t first = 0; first < rows; first += kRowStep) {
      const uint8_t* turned = codes_.data() + b * elements * stride_ + first;
      for (int64_t i = 0; i < elements; ++i)
        for (int64_t r = 0; r < kRowStep; ++r) codes[r * elements + i] = turned[i * stride_ + r];
      for (int64_t r = 0; r < std::min(kRowStep, rows - first); ++r) {
        const uint8_t* of_block = codes.data() + r * elements;
        std::byte* block = blocks + ((first + r) * row_blocks + b) * block_bytes;
        if (grid.write != nullptr)
          grid.write(of_block, block);
        else
          grid.write_row(of_block, elements, block);
      }
    }
  }
}

}  // namespace quantfleet::pipeline
