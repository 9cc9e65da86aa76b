// IQ3_S: the candidates of a sub-block's scale in the lanes, and of four elements that are not on
// the codebook the neighbors. Included once per target.
#if defined(QF_SIMD_POINTS_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef QF_SIMD_POINTS_INL
#undef QF_SIMD_POINTS_INL
#else
#define QF_SIMD_POINTS_INL
#endif

#include "hwy/highway.h"
#include "pipeline/tensor/codecs.h"
#include "pipeline/tensor/iq3_s.h"
#include "pipeline/tensor/simd_blocks32-inl.h"
#include "pipeline/tensor/simd_search-inl.h"

#if HWY_TARGET != HWY_SCALAR  // whose twin is the scalar codec itself

HWY_BEFORE_NAMESPACE();
namespace quantfleet::pipeline::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// NearestIq3, a neighbor per lane; of equals the first.
HWY_INLINE int NearestIq3Lanes(const Iq3Places& places, int place, const float* x,
                               const float* roots, float scale) {
  static_assert(Iq3Places::kStep % kLanes == 0);
  const Floats d;
  const hn::RebindToSigned<Floats> di;
  const V scale_v = hn::Set(d, scale);
  V best = hn::Set(d, std::numeric_limits<float>::max());
  auto nearest = hn::Zero(di);
  const auto first = static_cast<int32_t>(places.first[place]),
             end = static_cast<int32_t>(places.first[place + 1]);
  const auto* points = reinterpret_cast<const int32_t*>(places.points.data());
  auto at = hn::Zero(di);
  for (int32_t n = first; n < end; n += kLanes) {
    const auto packed = hn::LoadU(di, points + n);
    const auto byte = hn::Set(di, 0xff);
    const auto add = [&](V error, int i, decltype(packed) coordinate) HWY_ATTR {
      const V difference =
          hn::Sub(hn::Mul(scale_v, hn::ConvertTo(d, coordinate)), hn::Set(d, x[i]));
      return hn::Add(error, hn::Mul(hn::Mul(hn::Set(d, roots[i]), difference), difference));
    };
    V error = add(hn::Zero(d), 0, hn::And(packed, byte));
    error = add(error, 1, hn::And(hn::ShiftRight<8>(packed), byte));
    error = add(error, 2, hn::And(hn::ShiftRight<16>(packed), byte));
    error = add(error, 3, hn::ShiftRight<24>(packed));
    const auto better = hn::Lt(error, best);
    best = hn::IfThenElse(better, error, best);
    nearest = hn::IfThenElse(hn::RebindMask(di, better), at, nearest);
    at = hn::Add(at, hn::Set(di, kLanes));
  }
  // Where in the row of neighbors each lane has its best.
  nearest = hn::Add(nearest, hn::Iota(di, 0));
  const auto least = hn::RebindMask(di, hn::Eq(best, hn::MinOfLanes(d, best)));
  nearest = hn::IfThenElse(least, nearest, hn::Set(di, std::numeric_limits<int32_t>::max()));
  return places.numbers[static_cast<size_t>(first + hn::GetLane(hn::MinOfLanes(di, nearest)))];
}

// ChooseIq3; called through a pointer by code that is compiled for none. Rounding is exact, because
// no value comes to more than 17 times the largest.
inline Iq3Choice ChooseIq3Lanes(const float* x, const float* weights, const float* roots, float max,
                                uint16_t* points) {
  constexpr int kVectors = (kIq3Candidates + kLanes - 1) / kLanes, kPadded = kVectors * kLanes;
  const Iq3Places& places = FindIq3Places();
  const Floats d;
  const hn::RebindToSigned<Floats> di;
  alignas(64) float inverses[kPadded], scales[kPadded];
  for (int c = 0; c < kPadded; ++c) {
    inverses[c] = Iq3Inverse(std::min(c, kIq3Candidates - 1), max);
    scales[c] = 1 / inverses[c];
  }
  const V zero = hn::Zero(d), one = hn::Set(d, 1.f), half = hn::Set(d, 0.5f),
          top = hn::Set(d, static_cast<float>(kIq3Levels - 1));
  uint16_t found[kIq3Points][kIq3Candidates];
  uint32_t inexact = 0;
  V px[kVectors], p2[kVectors];
  for (int v = 0; v < kVectors; ++v) px[v] = p2[v] = zero;
  for (int p = 0; p < kIq3Points; ++p) {
    const float* from = x + p * kIq3Point;
    alignas(64) int32_t place[kPadded];
    for (int v = 0; v < kVectors; ++v) {
      const V inverse = hn::Load(d, inverses + v * kLanes);
      auto sum = hn::Zero(di);
      for (int i = kIq3Point - 1; i >= 0; --i) {
        const V level = hn::Mul(half, hn::Sub(hn::Mul(inverse, hn::Set(d, from[i])), one));
        sum = hn::Add(hn::ShiftLeft<3>(sum), hn::ConvertTo(di, RoundClamped(level, zero, top)));
      }
      hn::Store(sum, di, place + v * kLanes);
    }
    alignas(64) int32_t packed[kPadded] = {};
    for (int c = 0; c < kIq3Candidates; ++c) {
      int point = places.point[place[c]];
      if (point < 0) {
        inexact |= 1u << c;
        point = NearestIq3Lanes(places, place[c], from, roots + p * kIq3Point, scales[c]);
      }
      found[p][c] = static_cast<uint16_t>(point);
      packed[c] = std::bit_cast<int32_t>(kIq3SPoints[static_cast<size_t>(point)]);
    }
    for (int i = 0; i < kIq3Point; ++i) {
      const float weight = weights[p * kIq3Point + i];
      const V weight_v = hn::Set(d, weight), product = hn::Set(d, weight * from[i]);
      for (int v = 0; v < kVectors; ++v) {
        const auto codes = hn::Load(di, packed + v * kLanes);
        const V coordinate =
            hn::ConvertTo(d, hn::And(hn::ShiftRightSame(codes, 8 * i), hn::Set(di, 0xff)));
        px[v] = hn::Add(px[v], hn::Mul(product, coordinate));
        p2[v] = hn::Add(p2[v], hn::Mul(hn::Mul(weight_v, coordinate), coordinate));
      }
    }
  }
  alignas(64) float sums_px[kPadded], sums_p2[kPadded];
  for (int v = 0; v < kVectors; ++v) {
    hn::Store(px[v], d, sums_px + v * kLanes);
    hn::Store(p2[v], d, sums_p2 + v * kLanes);
  }
  Iq3Choice choice = {max / kIq3LargestPoint, false};
  float best = 0;
  for (int c = 0; c < kIq3Candidates; ++c) {
    const Iq3Fit fit = {sums_px[c], sums_p2[c]};
    if (!fit.BetterThan(best)) continue;
    choice = {fit.px / fit.p2, (inexact >> c & 1) == 0};
    best = choice.scale * fit.px;
    for (int p = 0; p < kIq3Points; ++p) points[p] = found[p][c];
  }
  return choice;
}

inline void EncodeIq3Rows(const float* values, int64_t rows, int64_t cols, const float* importance,
                          std::byte* out) {
  const int64_t row_blocks = cols / kIq3Elements;
  for (int64_t b = 0; b < rows * row_blocks; ++b)
    EncodeIq3(values + b * kIq3Elements,
              importance == nullptr ? nullptr : importance + b % row_blocks * kIq3Elements,
              ChooseIq3Lanes, out + b * kIq3Bytes);
}

inline std::span<const Codec> PointTwins() {
  static const Codec twins[] = {EncodingTwin(kIQ3_SCodec, EncodeIq3Rows)};
  return twins;
}

}  // namespace quantfleet::pipeline::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // not HWY_SCALAR

#endif  // once per target
