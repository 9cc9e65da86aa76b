// Products of tiles, their factors, and the walk through a tile's columns, in lanes. Included once
// per target.
#if defined(QF_ROUNDING_FEEDBACK_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef QF_ROUNDING_FEEDBACK_INL
#undef QF_ROUNDING_FEEDBACK_INL
#else
#define QF_ROUNDING_FEEDBACK_INL
#endif

#include <cmath>
#include <limits>

#include "hwy/highway.h"
#include "pipeline/tensor/rounding/codes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace quantfleet::pipeline::HWY_NAMESPACE {

// Vectors of one step of rows.
inline constexpr int64_t kStepVectors = kLanes < kRowStep ? kRowStep / kLanes : 1;

// kColumns columns of a product by kVectors vectors of rows, in registers.
template <int kColumns, int kVectors>
HWY_INLINE void MultiplyPanel(const TileProduct& p, int64_t column, int64_t row) {
  const Floats d;
  V sums[kColumns][kVectors];
#pragma GCC unroll 8
  for (int c = 0; c < kColumns; ++c)
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) sums[c][v] = hn::Zero(d);
  const float* a = p.a + column * p.a_column;
  const float* b = p.b + row;
  for (int64_t x = 0; x < p.depth; ++x, a += p.a_depth, b += p.b_stride) {
    V rows[kVectors];
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) rows[v] = hn::LoadU(d, b + v * kLanes);
#pragma GCC unroll 8
    for (int c = 0; c < kColumns; ++c) {
      const V factor = hn::Set(d, a[c * p.a_column]);
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) sums[c][v] = hn::Add(sums[c][v], hn::Mul(factor, rows[v]));
    }
  }
#pragma GCC unroll 8
  for (int c = 0; c < kColumns; ++c)
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      float* out = p.sums + (column + c) * p.stride + row + v * kLanes;
      const V before = hn::LoadU(d, out);
      hn::StoreU(p.subtract ? hn::Sub(before, sums[c][v]) : hn::Add(before, sums[c][v]), d, out);
    }
}

template <int kVectors>
HWY_INLINE void MultiplyRows(const TileProduct& p, int64_t row) {
  int64_t column = 0;
  for (; column + 4 <= p.columns; column += 4) MultiplyPanel<4, kVectors>(p, column, row);
  for (; column < p.columns; ++column) MultiplyPanel<1, kVectors>(p, column, row);
}

void MultiplyTile(const TileProduct& p) {
  constexpr int kWide = kStepVectors > 2 ? 2 : 2 * static_cast<int>(kStepVectors);
  int64_t row = 0;
  for (; row + kWide * kLanes <= p.rows; row += kWide * kLanes) MultiplyRows<kWide>(p, row);
  for (; row < p.rows; row += kLanes) MultiplyRows<1>(p, row);
}

// kVectors vectors of rows through all columns. Error e of column c is what its value lacks;
// columns are moved by the errors of those walked before, weighed by the factor.
template <int kVectors, class Codes>
HWY_INLINE void WalkRows(const TileWalk& w, const Codes& codes, int64_t row) {
  const Floats d;
  for (int64_t c = w.columns - 1; c >= 0; --c) {
    const float* factor = w.factor + c * kTile;
    V sums[kVectors];
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v)
      sums[v] = hn::LoadU(d, w.sums + c * w.stride + row + v * kLanes);
    for (int64_t b = c + 1; b < w.columns; ++b) {
      const V share = hn::Set(d, factor[b]);
      const float* errors = w.values + b * w.stride + row;
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v)
        sums[v] = hn::Add(sums[v], hn::Mul(share, hn::LoadU(d, errors + v * kLanes)));
    }
    const V diagonal = hn::Set(d, w.inverse_diagonal[c]);
    const int64_t grid = w.groups[c] * w.stride + row;
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      const int64_t at = c * w.stride + row + v * kLanes;
      const V value = hn::LoadU(d, w.values + at);
      const V wanted = hn::Add(value, hn::Mul(sums[v], diagonal));
      const V offset = hn::LoadU(d, w.grids.offsets + grid + v * kLanes),
              scale = hn::LoadU(d, w.grids.scales + grid + v * kLanes),
              inverse = hn::LoadU(d, w.grids.inverses + grid + v * kLanes);
      V level;
      const V code = codes.CodeOf(hn::Mul(hn::Sub(wanted, offset), inverse), level);
      StoreCodes(code, w.grid->low, w.codes + at);
      hn::StoreU(hn::Sub(value, hn::Add(hn::Mul(scale, level), offset)), d, w.values + at);
    }
  }
}

template <class Codes>
void WalkWith(const TileWalk& w, const Codes& codes) {
  int64_t row = 0;
  for (; row + 4 * kLanes <= w.rows; row += 4 * kLanes) WalkRows<4>(w, codes, row);
  for (; row < w.rows; row += kLanes) WalkRows<1>(w, codes, row);
}

void WalkTile(const TileWalk& w) {
  if (w.grid->table != nullptr) return WalkWith(w, TableCodesOf(*w.grid));
  WalkWith(w, WholeCodes(*w.grid));
}

// Column c of a tile less what the columns before it have of it, times `over`; rows from `first`.
HWY_INLINE void ReduceColumn(const float* factor, float* tile, int64_t c, int64_t first) {
  const Floats d;
  for (int64_t r = first / kLanes * kLanes; r < kTile; r += kLanes) {
    V sum = hn::LoadU(d, tile + c * kTile + r);
    for (int64_t x = 0; x < c; ++x)
      sum = hn::Sub(sum,
                    hn::Mul(hn::Set(d, factor[x * kTile + c]), hn::LoadU(d, tile + x * kTile + r)));
    hn::StoreU(sum, d, tile + c * kTile + r);
  }
}

HWY_INLINE void ScaleColumn(float* tile, int64_t c, float by) {
  const Floats d;
  const V scale = hn::Set(d, by);
  for (int64_t r = 0; r < kTile; r += kLanes)
    hn::StoreU(hn::Mul(hn::LoadU(d, tile + c * kTile + r), scale), d, tile + c * kTile + r);
}

bool FactorTile(float* tile, float least, float* inverse_diagonal) {
  for (int64_t c = 0; c < kTile; ++c) {
    ReduceColumn(tile, tile, c, c);
    const float pivot = tile[c * kTile + c];
    if (!(pivot > least && pivot < std::numeric_limits<float>::max())) return false;
    inverse_diagonal[c] = 1.f / std::sqrt(pivot);
    ScaleColumn(tile, c, inverse_diagonal[c]);
  }
  return true;
}

void SolveTile(const float* factor, const float* inverse_diagonal, float* tile) {
  for (int64_t c = 0; c < kTile; ++c) {
    ReduceColumn(factor, tile, c, 0);
    ScaleColumn(tile, c, inverse_diagonal[c]);
  }
}

}  // namespace quantfleet::pipeline::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // once per target
