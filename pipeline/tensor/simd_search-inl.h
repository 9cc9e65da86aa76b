// scale_search.h in lanes: element i of every lane's block stands in vector i, so each lane adds in
// the reference's order. Included once per target.
#if defined(QF_SIMD_SEARCH_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef QF_SIMD_SEARCH_INL
#undef QF_SIMD_SEARCH_INL
#else
#define QF_SIMD_SEARCH_INL
#endif

#include "hwy/highway.h"
#include "pipeline/tensor/scale_search.h"

// A loop over groups that has to be unrolled for their values to stay in registers.
#undef QF_EACH_GROUP
#define QF_EACH_GROUP _Pragma("GCC unroll 4") for (int g = 0; g < kGroups; ++g)

#if HWY_TARGET != HWY_SCALAR  // whose twin is the scalar codec itself

HWY_BEFORE_NAMESPACE();
namespace quantfleet::pipeline::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::ScalableTag<float>;
using V = hn::Vec<Floats>;
inline constexpr int kLanes = static_cast<int>(HWY_LANES(float));

// One block per lane: value i of lane l at [i * kLanes + l].
template <int kElements>
struct alignas(64) LaneBlocks {
  float values[kElements * kLanes];

  HWY_INLINE V Get(int i) const { return hn::Load(Floats(), values + i * kLanes); }
  HWY_INLINE void Put(int i, V v) { hn::Store(v, Floats(), values + i * kLanes); }

  // Lane l's block begins at from + l * stride. Square by square: each stage moves the lowest bit
  // of the lane's number to the top of the row's, and the row's to the top of the lane's.
  HWY_INLINE void Transpose(const float* from, int64_t stride) {
    const Floats d;
    for (int square = 0; square < kElements; square += kLanes) {
      V rows[kLanes], next[kLanes];
#pragma GCC unroll 16
      for (int r = 0; r < kLanes; ++r) rows[r] = hn::LoadU(d, from + r * stride + square);
#pragma GCC unroll 4
      for (int stage = 1; stage < kLanes; stage *= 2) {
#pragma GCC unroll 8
        for (int r = 0; r < kLanes / 2; ++r) {
          next[r] = hn::ConcatEven(d, rows[2 * r + 1], rows[2 * r]);
          next[r + kLanes / 2] = hn::ConcatOdd(d, rows[2 * r + 1], rows[2 * r]);
        }
#pragma GCC unroll 16
        for (int r = 0; r < kLanes; ++r) rows[r] = next[r];
      }
#pragma GCC unroll 16
      for (int r = 0; r < kLanes; ++r) Put(square + r, rows[r]);
    }
  }
};

// Halves to even, clamped: NearestInt for |v| < 2^22.
HWY_INLINE V RoundClamped(V v, V low, V high) { return hn::Min(hn::Max(hn::Round(v), low), high); }

// How a lane's codes follow from its values: code = round(inverse * (x - origin)), clamped.
struct alignas(64) LaneScales {
  float scale[kLanes], min[kLanes], inverse[kLanes], origin[kLanes], weight[kLanes];
};

// SearchAffine in every lane of kGroups groups, which hide each other's latency. False when a
// lane's candidates leave the range in which rounding is exact: then the scalar code has to do them
// all. A block without range has inverse 0.
template <int kGroups, int kElements>
HWY_INLINE bool SearchAffineLanes(const LaneBlocks<kElements>* x,
                                  const LaneBlocks<kElements>* weights, const AffineSearch& how,
                                  LaneScales* out) {
  const Floats d;
  const V zero = hn::Zero(d), top = hn::Set(d, static_cast<float>(how.levels));
  V low[kGroups], max[kGroups], min[kGroups], sum_w[kGroups], sum_x[kGroups];
  QF_EACH_GROUP {
    low[g] = max[g] = x[g].Get(0);
    sum_w[g] = weights[g].Get(0);
    sum_x[g] = hn::Mul(sum_w[g], low[g]);
  }
  for (int i = 1; i < kElements; ++i) {
    QF_EACH_GROUP {
      const V v = x[g].Get(i), w = weights[g].Get(i);
      low[g] = hn::IfThenElse(hn::Lt(v, low[g]), v, low[g]);
      max[g] = hn::IfThenElse(hn::Gt(v, max[g]), v, max[g]);
      sum_w[g] = hn::Add(sum_w[g], w);
      sum_x[g] = hn::Add(sum_x[g], hn::Mul(w, v));
    }
  }
  auto exact = hn::Eq(zero, zero);
  const auto check = [&](int g, V inverse, V origin) HWY_ATTR {
    const V farthest = hn::Max(hn::Abs(hn::Sub(max[g], origin)), hn::Abs(hn::Sub(low[g], origin)));
    const auto near = hn::Lt(hn::Mul(hn::Abs(inverse), farthest), hn::Set(d, 4e6f));
    const auto flat = hn::Le(max[g], hn::Min(low[g], zero));
    exact = hn::And(exact, hn::Or(near, flat));
  };

  LaneBlocks<kElements> levels[kGroups];
  // The weighted errors of the levels with these scales and mins.
  const auto errors = [&](const V* scale, const V* origin, V* sum) HWY_ATTR {
    QF_EACH_GROUP sum[g] = zero;
    for (int i = 0; i < kElements; ++i) {
      QF_EACH_GROUP {
        const V difference =
            hn::Sub(hn::Add(hn::Mul(scale[g], levels[g].Get(i)), origin[g]), x[g].Get(i));
        const V size = how.by_magnitude ? hn::Abs(difference) : hn::Mul(difference, difference);
        sum[g] = hn::Add(sum[g], hn::Mul(weights[g].Get(i), size));
      }
    }
  };

  V winner[kGroups], winner_origin[kGroups], scale[kGroups], best[kGroups];
  QF_EACH_GROUP {
    min[g] = winner_origin[g] = hn::IfThenElse(hn::Gt(low[g], zero), zero, low[g]);
    winner[g] = hn::Div(top, hn::Sub(max[g], min[g]));
    scale[g] = hn::Div(hn::Set(d, 1.f), winner[g]);
    check(g, winner[g], min[g]);
    for (int i = 0; i < kElements; ++i)
      levels[g].Put(i, RoundClamped(hn::Mul(winner[g], hn::Sub(x[g].Get(i), min[g])), zero, top));
  }
  errors(scale, min, best);
  for (int step = 0; step <= how.steps; ++step) {
    const float spread =
        how.first + how.delta * static_cast<float>(step) + static_cast<float>(how.levels);
    V inverse[kGroups], sum_l[kGroups], sum_l2[kGroups], sum_xl[kGroups];
    QF_EACH_GROUP {
      inverse[g] = hn::Div(hn::Set(d, spread), hn::Sub(max[g], min[g]));
      check(g, inverse[g], min[g]);
      sum_l[g] = sum_l2[g] = sum_xl[g] = zero;
    }
    for (int i = 0; i < kElements; ++i) {
      QF_EACH_GROUP {
        const V v = x[g].Get(i);
        const V l = RoundClamped(hn::Mul(inverse[g], hn::Sub(v, min[g])), zero, top);
        levels[g].Put(i, l);
        const V weighted = hn::Mul(weights[g].Get(i), l);
        sum_l[g] = hn::Add(sum_l[g], weighted);
        sum_l2[g] = hn::Add(sum_l2[g], hn::Mul(weighted, l));
        sum_xl[g] = hn::Add(sum_xl[g], hn::Mul(weighted, v));
      }
    }
    V fitted[kGroups], fitted_min[kGroups], determinant[kGroups], e[kGroups];
    QF_EACH_GROUP {
      determinant[g] = hn::Sub(hn::Mul(sum_w[g], sum_l2[g]), hn::Mul(sum_l[g], sum_l[g]));
      fitted[g] = hn::Div(hn::Sub(hn::Mul(sum_w[g], sum_xl[g]), hn::Mul(sum_x[g], sum_l[g])),
                          determinant[g]);
      fitted_min[g] = hn::Div(hn::Sub(hn::Mul(sum_l2[g], sum_x[g]), hn::Mul(sum_l[g], sum_xl[g])),
                              determinant[g]);
      const auto above = hn::Gt(fitted_min[g], zero);
      fitted[g] = hn::IfThenElse(above, hn::Div(sum_xl[g], sum_l2[g]), fitted[g]);
      fitted_min[g] = hn::IfThenElse(above, zero, fitted_min[g]);
    }
    errors(fitted, fitted_min, e);
    QF_EACH_GROUP {
      const auto better = hn::And(hn::Gt(determinant[g], zero), hn::Lt(e[g], best[g]));
      best[g] = hn::IfThenElse(better, e[g], best[g]);
      winner[g] = hn::IfThenElse(better, inverse[g], winner[g]);
      winner_origin[g] = hn::IfThenElse(better, min[g], winner_origin[g]);
      scale[g] = hn::IfThenElse(better, fitted[g], scale[g]);
      min[g] = hn::IfThenElse(better, fitted_min[g], min[g]);
    }
  }
  if (!hn::AllTrue(d, exact)) return false;
  QF_EACH_GROUP {
    const V origin = hn::IfThenElse(hn::Gt(low[g], zero), zero, low[g]);
    const auto flat = hn::Le(max[g], origin);
    hn::Store(hn::IfThenElse(flat, zero, scale[g]), d, out[g].scale);
    hn::Store(hn::IfThenElse(flat, origin, min[g]), d, out[g].min);
    hn::Store(hn::IfThenElse(flat, zero, winner[g]), d, out[g].inverse);
    hn::Store(winner_origin[g], d, out[g].origin);
    hn::Store(sum_w[g], d, out[g].weight);
  }
  return true;
}

// SearchSymmetric in every lane; origin is 0. False when the sums might overflow. A zero block has
// inverse 0.
template <int kElements>
HWY_INLINE bool SearchSymmetricLanes(const LaneBlocks<kElements>& x,
                                     const LaneBlocks<kElements>& weights, int levels,
                                     LaneScales& out) {
  const Floats d;
  const V zero = hn::Zero(d);
  V largest = zero, max = zero;
  LaneBlocks<kElements> products;
  for (int i = 0; i < kElements; ++i) {
    const V v = x.Get(i), magnitude = hn::Abs(v);
    const auto larger = hn::Gt(magnitude, largest);
    largest = hn::IfThenElse(larger, magnitude, largest);
    max = hn::IfThenElse(larger, v, max);
    products.Put(i, hn::Mul(weights.Get(i), v));
  }
  if (!hn::AllTrue(d, hn::Lt(largest, hn::Set(d, 1e9f)))) return false;
  const auto none = hn::Lt(largest, hn::Set(d, kZeroBlock));
  const float whole = static_cast<float>(levels);
  const V low = hn::Set(d, -whole), high = hn::Set(d, whole - 1);
  V winner = hn::Div(hn::Set(d, -whole), max), scale, best;
  const auto consider = [&](V inverse, V lx, V l2) HWY_ATTR {
    const auto better = hn::And(hn::Gt(l2, zero), hn::Gt(hn::Mul(lx, lx), hn::Mul(best, l2)));
    winner = hn::IfThenElse(better, inverse, winner);
    scale = hn::IfThenElse(better, hn::Div(lx, l2), scale);
    best = hn::IfThenElse(better, hn::Mul(scale, lx), best);
  };
  // Two candidates at a time hide each other's latency.
  V lx_a, l2_a, lx_b, l2_b;
  const auto fit_two = [&](V inverse_a, V inverse_b) HWY_ATTR {
    lx_a = l2_a = lx_b = l2_b = zero;
    for (int i = 0; i < kElements; ++i) {
      const V v = x.Get(i), w = weights.Get(i), product = products.Get(i);
      const V la = RoundClamped(hn::Mul(inverse_a, v), low, high),
              lb = RoundClamped(hn::Mul(inverse_b, v), low, high);
      lx_a = hn::Add(lx_a, hn::Mul(product, la));
      lx_b = hn::Add(lx_b, hn::Mul(product, lb));
      l2_a = hn::Add(l2_a, hn::Mul(hn::Mul(w, la), la));
      l2_b = hn::Add(l2_b, hn::Mul(hn::Mul(w, lb), lb));
    }
  };
  const auto inverse_of = [&](int step) HWY_ATTR {
    return hn::Div(hn::Set(d, -(whole + 0.1f * static_cast<float>(step))), max);
  };
  const auto consider_two = [&](int step) HWY_ATTR {
    const V one = inverse_of(step), two = inverse_of(step + 1);
    fit_two(one, two);
    consider(one, lx_a, l2_a);
    consider(two, lx_b, l2_b);
  };
  const V first = inverse_of(-9), last = inverse_of(9);
  fit_two(winner, first);
  scale = hn::IfThenElse(hn::Eq(l2_a, zero), zero, hn::Div(lx_a, l2_a));
  best = hn::Mul(scale, lx_a);
  consider(first, lx_b, l2_b);
  for (int step = -8; step < 0; step += 2) consider_two(step);
  for (int step = 1; step < 9; step += 2) consider_two(step);
  fit_two(last, last);
  consider(last, lx_a, l2_a);
  hn::Store(hn::IfThenElse(none, zero, scale), d, out.scale);
  hn::Store(hn::IfThenElse(none, zero, winner), d, out.inverse);
  return true;
}

// NearestInt of any float, clamped, as a float.
HWY_INLINE V NearestClamped(V v, int low, int high) {
  const Floats d;
  const hn::RebindToSigned<Floats> di;
  const auto bits =
      hn::And(hn::BitCast(di, hn::Add(v, hn::Set(d, 12582912.f))), hn::Set(di, 0x007fffff));
  const auto whole = hn::Sub(bits, hn::Set(di, 0x00400000));
  return hn::ConvertTo(d, hn::Min(hn::Max(whole, hn::Set(di, low)), hn::Set(di, high)));
}

// SearchSymmetricByMoves in every lane of kGroups groups; `found` are the levels. Lanes that move
// nothing in a round would move nothing in the next.
template <int kGroups, int kElements>
HWY_INLINE void SearchByMovesLanes(const LaneBlocks<kElements>* x, int levels,
                                   LaneBlocks<kElements>* found, float (*scales)[kLanes]) {
  const Floats d;
  const V zero = hn::Zero(d);
  V largest[kGroups], max[kGroups], inverse[kGroups], sum_lx[kGroups], sum_l2[kGroups];
  QF_EACH_GROUP largest[g] = max[g] = sum_lx[g] = sum_l2[g] = zero;
  for (int i = 0; i < kElements; ++i) {
    QF_EACH_GROUP {
      const V v = x[g].Get(i), magnitude = hn::Abs(v);
      const auto larger = hn::Gt(magnitude, largest[g]);
      largest[g] = hn::IfThenElse(larger, magnitude, largest[g]);
      max[g] = hn::IfThenElse(larger, v, max[g]);
    }
  }
  QF_EACH_GROUP inverse[g] = hn::Div(hn::Set(d, -static_cast<float>(levels)), max[g]);
  LaneBlocks<kElements> weights[kGroups], products[kGroups];
  for (int i = 0; i < kElements; ++i) {
    QF_EACH_GROUP {
      const V v = x[g].Get(i), w = hn::Mul(v, v), product = hn::Mul(w, v);
      const V l = NearestClamped(hn::Mul(inverse[g], v), -levels, levels - 1);
      found[g].Put(i, l);
      weights[g].Put(i, w);
      products[g].Put(i, product);
      sum_lx[g] = hn::Add(sum_lx[g], hn::Mul(product, l));
      sum_l2[g] = hn::Add(sum_l2[g], hn::Mul(hn::Mul(w, l), l));
    }
  }
  for (int round = 0; round < 5; ++round) {
    auto changed = hn::Lt(zero, zero);
    for (int i = 0; i < kElements; ++i) {
      QF_EACH_GROUP {
        const V v = x[g].Get(i), w = weights[g].Get(i), product = products[g].Get(i),
                l = found[g].Get(i);
        V lx = hn::Sub(sum_lx[g], hn::Mul(product, l));
        V l2 = hn::Sub(sum_l2[g], hn::Mul(hn::Mul(w, l), l));
        const auto counts = hn::Gt(lx, zero);
        const V moved = NearestClamped(hn::Div(hn::Mul(v, l2), lx), -levels, levels - 1);
        lx = hn::Add(lx, hn::Mul(product, moved));
        l2 = hn::Add(l2, hn::Mul(hn::Mul(w, moved), moved));
        const auto gains =
            hn::Gt(hn::Mul(hn::Mul(lx, lx), sum_l2[g]), hn::Mul(hn::Mul(sum_lx[g], sum_lx[g]), l2));
        const auto better =
            hn::And(hn::And(counts, hn::Ne(moved, l)), hn::And(hn::Gt(l2, zero), gains));
        found[g].Put(i, hn::IfThenElse(better, moved, l));
        sum_lx[g] = hn::IfThenElse(better, lx, sum_lx[g]);
        sum_l2[g] = hn::IfThenElse(better, l2, sum_l2[g]);
        changed = hn::Or(changed, better);
      }
    }
    if (hn::AllFalse(d, changed)) break;
  }
  QF_EACH_GROUP {
    const auto none = hn::Lt(largest[g], hn::Set(d, kZeroBlock));
    const auto fitted = hn::And(hn::Gt(sum_l2[g], zero), hn::Not(none));
    hn::Store(hn::IfThenElseZero(fitted, hn::Div(sum_lx[g], sum_l2[g])), d, scales[g]);
    const V lowest = hn::Set(d, -static_cast<float>(levels));
    for (int i = 0; i < kElements; ++i)
      found[g].Put(i, hn::IfThenElse(none, lowest, found[g].Get(i)));
  }
}

}  // namespace quantfleet::pipeline::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // not HWY_SCALAR

#endif  // once per target
