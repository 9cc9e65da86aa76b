// From values to codes and back, in lanes. Included once per target.
#if defined(QF_ROUNDING_CODES_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef QF_ROUNDING_CODES_INL
#undef QF_ROUNDING_CODES_INL
#else
#define QF_ROUNDING_CODES_INL
#endif

#include "hwy/highway.h"
#include "pipeline/tensor/rounding/kernels.h"

HWY_BEFORE_NAMESPACE();
namespace quantfleet::pipeline::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::ScalableTag<float>;
using V = hn::Vec<Floats>;
inline constexpr int64_t kLanes = HWY_LANES(float);

// 1 / v, and 0 of 0.
HWY_INLINE V InverseOf(V v) {
  const Floats d;
  const V zero = hn::Zero(d);
  return hn::IfThenElse(hn::Eq(v, zero), zero, hn::Div(hn::Set(d, 1.f), v));
}

// What an F16 makes of it (FloatToHalf), but for what is too large for one.
HWY_INLINE V RoundToHalf(V v) {
  const Floats d;
  const hn::RebindToUnsigned<Floats> du;
  const V magnitude = hn::Abs(v), half = hn::Set(d, 0.5f);
  // In units of 2^-24, which half of one in front makes the last bit of the sum.
  const V subnormal = hn::Sub(hn::Add(magnitude, half), half);
  const auto bits = hn::BitCast(du, magnitude);
  const auto odd = hn::And(hn::ShiftRight<13>(bits), hn::Set(du, 1u));
  const auto rounded =
      hn::AndNot(hn::Set(du, 0x1fffu), hn::Add(bits, hn::Add(hn::Set(du, 0xfffu), odd)));
  const V result =
      hn::IfThenElse(hn::Lt(magnitude, hn::Set(d, 0x1p-14f)), subnormal, hn::BitCast(d, rounded));
  return hn::CopySign(result, v);
}

// Codes that are whole numbers between two.
struct WholeCodes {
  V low, high;

  explicit HWY_INLINE WholeCodes(const BlockGrid& grid)
      : low(hn::Set(Floats(), static_cast<float>(grid.low))),
        high(hn::Set(Floats(), static_cast<float>(grid.high))) {}
  // The code nearest to v and what it stands for: the same.
  HWY_INLINE V CodeOf(V v, V& level) const {
    return level = hn::Round(hn::Min(hn::Max(v, low), high));
  }
};

// Codes that are places in a table of 16 rising values.
struct TableCodesOf {
  float levels[16], between[15];

  explicit TableCodesOf(const BlockGrid& grid) {
    for (int i = 0; i < 16; ++i) levels[i] = static_cast<float>((*grid.table)[i]);
    for (int i = 0; i < 15; ++i) between[i] = 0.5f * (levels[i] + levels[i + 1]);
  }
  HWY_INLINE V CodeOf(V v, V& level) const {
    const Floats d;
    V code = hn::Zero(d);
    level = hn::Set(d, levels[0]);
    for (int i = 0; i < 15; ++i) {
      const auto above = hn::Gt(v, hn::Set(d, between[i]));
      level = hn::IfThenElse(above, hn::Set(d, levels[i + 1]), level);
      code = hn::IfThenElse(above, hn::Set(d, static_cast<float>(i + 1)), code);
    }
    return code;
  }
};

HWY_INLINE void StoreCodes(V codes, int low, uint8_t* out) {
  const hn::RebindToSigned<Floats> di;
  const auto whole = hn::Sub(hn::ConvertTo(di, codes), hn::Set(di, low));
  hn::StoreU(hn::DemoteTo(hn::Rebind<uint8_t, Floats>(), whole), hn::Rebind<uint8_t, Floats>(),
             out);
}

template <class Codes>
void NearestWith(const Codes& codes, int low, int64_t elements, const TurnedGrids& grids,
                 const float* values, int64_t stride, int64_t rows, uint8_t* out) {
  const Floats d;
  for (int64_t r = 0; r < rows; r += kLanes) {
    const V inverse = hn::LoadU(d, grids.inverses + r), offset = hn::LoadU(d, grids.offsets + r);
    for (int64_t i = 0; i < elements; ++i) {
      const V v = hn::LoadU(d, values + i * stride + r);
      V level;
      StoreCodes(codes.CodeOf(hn::Mul(hn::Sub(v, offset), inverse), level), low,
                 out + i * stride + r);
    }
  }
}

void NearestCodes(const BlockGrid& grid, const TurnedGrids& grids, const float* values,
                  int64_t elements, int64_t stride, int64_t rows, uint8_t* codes) {
  if (grid.table != nullptr)
    return NearestWith(TableCodesOf(grid), grid.low, elements, grids, values, stride, rows, codes);
  NearestWith(WholeCodes(grid), grid.low, elements, grids, values, stride, rows, codes);
}

}  // namespace quantfleet::pipeline::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // once per target
