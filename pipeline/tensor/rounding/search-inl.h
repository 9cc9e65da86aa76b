// The search for a group's scale, and its point or bias, in lanes. A candidate is fitted to its own
// codes by weighted least squares, as the reference fits its (scale_search.h); here the weights are
// the importance alone, more of the range may be cut off, and F16 is minded. Included once per
// target.
#if defined(QF_ROUNDING_SEARCH_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef QF_ROUNDING_SEARCH_INL
#undef QF_ROUNDING_SEARCH_INL
#else
#define QF_ROUNDING_SEARCH_INL
#endif

#include <limits>
#include <vector>

#include "hwy/highway.h"
#include "pipeline/tensor/rounding/codes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace quantfleet::pipeline::HWY_NAMESPACE {

// One group of as many rows as there are lanes, and the best that was found for it. `room` takes
// its n values, kLanes of each.
class GroupSearch {
 public:
  GroupSearch(const BlockGrid& grid, const float* weights, int64_t n, float* room)
      : grid_(grid),
        weights_(weights),
        n_(n),
        x_(room),
        best_{hn::Zero(Floats()), hn::Zero(Floats())},
        first_(best_) {}

  template <class Codes>
  void Run(const Codes& codes, const float* values, int64_t stride, float* scales, float* zeros) {
    const Floats d;
    V low = hn::Zero(d), high = low;
    for (int64_t i = 0; i < n_; ++i) {
      const V v = hn::LoadU(d, values + i * stride);
      hn::StoreU(v, d, x_ + i * kLanes);
      low = i == 0 && grid_.search == GridSearch::kBias ? v : hn::Min(low, v);
      high = i == 0 && grid_.search == GridSearch::kBias ? v : hn::Max(high, v);
    }
    best_error_ = hn::Set(d, std::numeric_limits<float>::infinity());
    best_ = first_ = {hn::Zero(d), hn::Zero(d)};
    if (grid_.search == GridSearch::kBias || grid_.search == GridSearch::kPoint)
      TryRanges(codes, low, high);
    else
      TryScales(codes, low, high);
    // The codes of what was found may be fitted once more; and what was found counts by its true
    // error, so that it is never worse than the codec's.
    for (int round = 0; round < 2; ++round) Try(codes, best_);
    const auto better = hn::Lt(ErrorOf(codes, best_), ErrorOf(codes, first_));
    hn::StoreU(hn::IfThenElse(better, best_.scale, first_.scale), d, scales);
    hn::StoreU(hn::IfThenElse(better, best_.zero, first_.zero), d, zeros);
  }

 private:
  // zero: the point or the bias. Never made without values: g++ 12 would compile the constructor
  // for no instruction set, and so refuse it for NEON.
  struct Zeroed {
    V scale, zero;
  };

  HWY_INLINE V OffsetOf(const Zeroed& at) const {
    if (grid_.search == GridSearch::kBias) return at.zero;
    return hn::Neg(hn::Mul(at.scale, at.zero));
  }

  // Around the middle: the value of largest magnitude becomes the lowest code, or the highest, and
  // then ever more of it is cut off.
  template <class Codes>
  void TryScales(const Codes& codes, V low, V high) {
    const Floats d;
    const bool table = grid_.table != nullptr, wide = grid_.high > 100 && !table,
               row = grid_.group == 0;
    const V zero = hn::Zero(d);
    const auto below = hn::Gt(hn::Neg(low), high);
    const V farthest = hn::IfThenElse(below, low, high);
    const float lowest = static_cast<float>(table ? (*grid_.table)[0] : grid_.low),
                highest = static_cast<float>(table ? (*grid_.table)[15] : grid_.high);
    // Their codecs have positive scales, and so have runtimes of such codes.
    const V largest = hn::Abs(farthest);
    if (wide) {
      for (int step = 0; step < 10; ++step)
        Try(codes, {hn::Div(largest, hn::Set(d, highest * (1 + 0.005f * step))), zero});
      return;
    }
    if (row) {
      // Few values of four bits are worth a row's outliers.
      for (int step = 0; step < 24; ++step)
        Try(codes,
            {hn::Mul(hn::Div(largest, hn::Set(d, highest)), hn::Set(d, 1 - 0.03f * step)), zero});
      return;
    }
    Try(codes, {hn::Div(farthest, hn::Set(d, lowest)), zero});
    for (int step = -4; step <= 20; ++step) {
      const float cut = 1 + 0.03f * static_cast<float>(step);
      Try(codes, {hn::Div(farthest, hn::Set(d, lowest * cut)), zero});
      Try(codes, {hn::Div(farthest, hn::Set(d, highest * cut)), zero});
    }
  }

  // From one end of a range to the other: the whole first, then less of either end.
  template <class Codes>
  void TryRanges(const Codes& codes, V low, V high) {
    const Floats d;
    const bool wide = grid_.high > 100, point = grid_.search == GridSearch::kPoint;
    const float cuts[] = {0.f, -0.04f, 0.04f, 0.08f, 0.13f, 0.19f, 0.26f};
    const V levels = hn::Set(d, static_cast<float>(grid_.high)), range = hn::Sub(high, low),
            zero = hn::Zero(d);
    for (const float from : cuts) {
      for (const float to : cuts) {
        const float unit = wide ? 0.1f : 1.f;
        const V first = hn::Add(low, hn::Mul(range, hn::Set(d, from * unit))),
                last = hn::Sub(high, hn::Mul(range, hn::Set(d, to * unit)));
        const V scale = hn::Div(hn::Sub(last, first), levels);
        if (!point) {
          Try(codes, {scale, first});
          continue;
        }
        const V at = hn::Mul(hn::Neg(first), InverseOf(scale));
        Try(codes, {scale, hn::Round(hn::Min(hn::Max(at, zero), levels))});
      }
    }
  }

  // Error of the codes nearest under `at`, and of the same codes under what fits them best.
  template <class Codes>
  HWY_INLINE void Try(const Codes& codes, Zeroed at) {
    at.scale = RoundToHalf(at.scale);
    if (grid_.search == GridSearch::kBias) {
      at.zero = RoundToHalf(at.zero);
      TryBias(codes, at);
    } else {
      TryScale(codes, at);
    }
  }

  template <class Codes>
  HWY_INLINE void TryScale(const Codes& codes, const Zeroed& at) {
    const Floats d;
    const V inverse = InverseOf(at.scale), zero = hn::Zero(d);
    V error = zero, slope = zero, square = zero;
    for (int64_t i = 0; i < n_; ++i) {
      const V v = hn::LoadU(d, x_ + i * kLanes), w = hn::Set(d, weights_[i]);
      V level;
      codes.CodeOf(hn::Add(hn::Mul(v, inverse), at.zero), level);
      level = hn::Sub(level, at.zero);
      const V rest = hn::Sub(v, hn::Mul(at.scale, level)), weighed = hn::Mul(w, rest);
      error = hn::Add(error, hn::Mul(weighed, rest));
      slope = hn::Add(slope, hn::Mul(weighed, level));
      square = hn::Add(square, hn::Mul(hn::Mul(w, level), level));
    }
    Keep(at, error);
    const V step = hn::Mul(slope, InverseOf(square));
    const Zeroed fitted = {RoundToHalf(hn::Add(at.scale, step)), at.zero};
    const V moved = hn::Sub(fitted.scale, at.scale);
    KeepFitted(fitted, hn::Add(hn::Sub(error, hn::Mul(hn::Mul(moved, hn::Set(d, 2.f)), slope)),
                               hn::Mul(hn::Mul(moved, moved), square)));
  }

  template <class Codes>
  HWY_INLINE void TryBias(const Codes& codes, const Zeroed& at) {
    const Floats d;
    const V inverse = InverseOf(at.scale), zero = hn::Zero(d),
            middle = hn::Set(d, 0.5f * static_cast<float>(grid_.high));
    // Codes are counted from the middle: then the two sums hardly depend on one another.
    V error = zero, total = zero, slope = zero, sum_w = zero, sum_c = zero, sum_cc = zero;
    for (int64_t i = 0; i < n_; ++i) {
      const V v = hn::LoadU(d, x_ + i * kLanes), w = hn::Set(d, weights_[i]);
      V level;
      codes.CodeOf(hn::Mul(hn::Sub(v, at.zero), inverse), level);
      const V rest = hn::Sub(v, hn::Add(hn::Mul(at.scale, level), at.zero)),
              weighed = hn::Mul(w, rest), centred = hn::Sub(level, middle),
              weighed_code = hn::Mul(w, centred);
      error = hn::Add(error, hn::Mul(weighed, rest));
      total = hn::Add(total, weighed);
      slope = hn::Add(slope, hn::Mul(weighed, centred));
      sum_w = hn::Add(sum_w, w);
      sum_c = hn::Add(sum_c, weighed_code);
      sum_cc = hn::Add(sum_cc, hn::Mul(weighed_code, centred));
    }
    Keep(at, error);
    const V determinant = hn::Sub(hn::Mul(sum_w, sum_cc), hn::Mul(sum_c, sum_c));
    const auto sound = hn::Gt(determinant, hn::Mul(hn::Mul(sum_w, sum_cc), hn::Set(d, 1e-5f)));
    const V over = InverseOf(determinant);
    const V wider = hn::Mul(hn::Sub(hn::Mul(sum_w, slope), hn::Mul(sum_c, total)), over);
    const V higher = hn::Mul(hn::Sub(hn::Mul(sum_cc, total), hn::Mul(sum_c, slope)), over);
    const Zeroed fitted = {RoundToHalf(hn::Add(at.scale, wider)),
                           RoundToHalf(hn::Add(at.zero, hn::Sub(higher, hn::Mul(wider, middle))))};
    const V gained = hn::Add(hn::Mul(higher, total), hn::Mul(wider, slope));
    KeepFitted(fitted, hn::IfThenElse(sound, hn::Sub(error, gained), error));
  }

  template <class Codes>
  V ErrorOf(const Codes& codes, const Zeroed& at) const {
    const Floats d;
    const V inverse = InverseOf(at.scale), offset = OffsetOf(at);
    V error = hn::Zero(d);
    for (int64_t i = 0; i < n_; ++i) {
      const V v = hn::LoadU(d, x_ + i * kLanes);
      V level;
      codes.CodeOf(hn::Mul(hn::Sub(v, offset), inverse), level);
      const V rest = hn::Sub(v, hn::Add(hn::Mul(at.scale, level), offset));
      error = hn::Add(error, hn::Mul(hn::Mul(hn::Set(d, weights_[i]), rest), rest));
    }
    return error;
  }

  // Errors that are no numbers are never kept.
  HWY_INLINE void Keep(const Zeroed& at, V error) {
    if (is_first_) {
      first_ = at;
      is_first_ = false;
    }
    KeepFitted(at, error);
  }
  HWY_INLINE void KeepFitted(const Zeroed& at, V error) {
    const auto better = hn::Lt(error, best_error_);
    best_error_ = hn::IfThenElse(better, error, best_error_);
    best_.scale = hn::IfThenElse(better, at.scale, best_.scale);
    best_.zero = hn::IfThenElse(better, at.zero, best_.zero);
  }

  const BlockGrid& grid_;
  const float* weights_;
  const int64_t n_;
  float* const x_;
  bool is_first_ = true;
  Zeroed best_, first_;
  V best_error_;
};

template <class Codes>
void SearchPackedWith(const Codes& codes, const PackedSearch& p) {
  // Of a type without mins only scales are tried, which takes little.
  constexpr int kReach = 3;
  const Floats d;
  const PackedScales& packed = *p.grid->packed;
  const int64_t n = p.grid->group;
  const int min_reach = packed.highest_min > 0 ? kReach : 0;
  const V lowest = hn::Set(d, static_cast<float>(packed.lowest)),
          highest = hn::Set(d, static_cast<float>(packed.highest)), zero = hn::Zero(d),
          highest_min = hn::Set(d, static_cast<float>(packed.highest_min));
  // 0, -1, 1, -2, 2, ...: of equals the nearest stays.
  const auto away = [](int step) {
    return static_cast<float>(step % 2 == 0 ? step / 2 : -(step + 1) / 2);
  };
  for (int64_t r = 0; r < p.rows; r += kLanes) {
    const V unit = hn::LoadU(d, p.unit_scales + r), unit_offset = hn::LoadU(d, p.unit_offsets + r),
            scale_from = hn::LoadU(d, p.scales + r), min_from = hn::LoadU(d, p.mins + r);
    V best = hn::Set(d, std::numeric_limits<float>::infinity()), best_scale = scale_from,
      best_min = min_from;
    for (int scale_step = 0; scale_step <= 2 * kReach; ++scale_step) {
      const V moved = hn::Add(scale_from, hn::Set(d, away(scale_step))),
              scale = hn::Min(hn::Max(moved, lowest), highest), factor = hn::Mul(unit, scale),
              inverse = InverseOf(factor);
      for (int min_step = 0; min_step <= 2 * min_reach; ++min_step) {
        const V min =
            hn::Min(hn::Max(hn::Add(min_from, hn::Set(d, away(min_step))), zero), highest_min);
        const V offset = hn::Mul(unit_offset, min);
        V error = zero;
        for (int64_t i = 0; i < n; ++i) {
          const V v = hn::Sub(hn::LoadU(d, p.values + i * p.stride + r), offset);
          V level;
          codes.CodeOf(hn::Mul(v, inverse), level);
          const V rest = hn::Sub(v, hn::Mul(factor, level));
          error = hn::Add(error, hn::Mul(hn::Mul(hn::Set(d, p.weights[i]), rest), rest));
        }
        const auto better = hn::Lt(error, best);
        best = hn::IfThenElse(better, error, best);
        best_scale = hn::IfThenElse(better, scale, best_scale);
        best_min = hn::IfThenElse(better, min, best_min);
      }
    }
    hn::StoreU(best_scale, d, p.scales + r);
    hn::StoreU(best_min, d, p.mins + r);
  }
}

void SearchPackedGroup(const PackedSearch& search) {
  if (search.grid->table != nullptr) return SearchPackedWith(TableCodesOf(*search.grid), search);
  SearchPackedWith(WholeCodes(*search.grid), search);
}

void SearchGroup(const BlockGrid& grid, const float* values, int64_t elements, int64_t stride,
                 int64_t rows, const float* weights, float* scales, float* zeros) {
  alignas(64) float few[256 * kLanes];
  std::vector<float> many(static_cast<size_t>(elements > 256 ? elements * kLanes : 0));
  for (int64_t r = 0; r < rows; r += kLanes) {
    GroupSearch search(grid, weights, elements, many.empty() ? few : many.data());
    if (grid.table != nullptr)
      search.Run(TableCodesOf(grid), values + r, stride, scales + r, zeros + r);
    else
      search.Run(WholeCodes(grid), values + r, stride, scales + r, zeros + r);
  }
}

}  // namespace quantfleet::pipeline::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // once per target
