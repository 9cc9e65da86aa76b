// IQ4_NL and IQ4_XS: 32 elements per lane while their scale is searched, then a block at a time
// while its codes are made. Included once per target.
#if defined(QF_SIMD_TABLE_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef QF_SIMD_TABLE_INL
#undef QF_SIMD_TABLE_INL
#else
#define QF_SIMD_TABLE_INL
#endif

#include "hwy/highway.h"
#include "pipeline/tensor/codecs.h"
#include "pipeline/tensor/iq4.h"
#include "pipeline/tensor/mxfp4.h"
#include "pipeline/tensor/simd_k-inl.h"

#if HWY_TARGET != HWY_SCALAR  // whose twin is the scalar codec itself

HWY_BEFORE_NAMESPACE();
namespace quantfleet::pipeline::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// The nearest of kIq4Values to half of a vector's lanes: its value or its code; NaN as the lowest.
// Where a register is a table of 8 or 16, by halving what is left of the 16 values; else by a table
// in memory.
struct Iq4Nearest {
  using Ints = hn::Vec<hn::RebindToSigned<Floats>>;
  static constexpr bool kInRegisters = kLanes == 8 || kLanes == 16;

  static HWY_INLINE V Value(V doubled) {
    const Floats d;
    if constexpr (kInRegisters)
      return Get(Find(doubled), kIq4Places.value_of);
    else
      return hn::GatherIndex(d, kIq4Places.values, Place(doubled));
  }
  static HWY_INLINE Ints Code(V doubled) {
    const hn::RebindToSigned<Floats> di;
    if constexpr (kInRegisters)
      return Find(doubled);
    else
      return hn::GatherIndex(di, kIq4Places.codes, Place(doubled));
  }

 private:
  // table[code] of 16.
  static HWY_INLINE V Get(Ints codes, const float* table) {
    const Floats d;
    const hn::RebindToSigned<Floats> di;
    const V first = hn::TableLookupLanes(hn::LoadU(d, table), hn::IndicesFromVec(d, Within(codes)));
    if constexpr (kLanes == 16) return first;
    const V last = hn::TableLookupLanes(hn::LoadU(d, table + 16 - kLanes),
                                        hn::IndicesFromVec(d, Within(codes)));
    const auto high = hn::RebindMask(d, hn::Gt(codes, hn::Set(di, 7)));
    return hn::IfThenElse(high, last, first);
  }
  static HWY_INLINE Ints Within(Ints codes) {
    return hn::And(codes, hn::Set(hn::RebindToSigned<Floats>(), kLanes - 1));
  }
  static HWY_INLINE Ints Find(V doubled) {
    const Floats d;
    const hn::RebindToSigned<Floats> di;
    const auto at_least = [&](V middle, int step) HWY_ATTR {
      const auto reached = hn::RebindMask(di, hn::Ge(doubled, middle));
      return hn::IfThenElseZero(reached, hn::Set(di, step));
    };
    Ints code = at_least(hn::Set(d, kIq4Places.middle_after[7]), 8);
    for (int step = 4; step > 0; step /= 2)
      code = hn::Add(
          code, at_least(Get(hn::Add(code, hn::Set(di, step - 1)), kIq4Places.middle_after), step));
    return code;
  }
  static HWY_INLINE Ints Place(V doubled) {
    const Floats d;
    const hn::RebindToSigned<Floats> di;
    constexpr float kLast = 2 * kIq4Middle - 1;
    const V place = hn::Add(hn::Floor(doubled), hn::Set(d, static_cast<float>(kIq4Middle)));
    return hn::ConvertTo(di, hn::Min(hn::Max(place, hn::Zero(d)), hn::Set(d, kLast)));
  }
};

// SearchIq4 in every lane. False where a lane has values beyond kIq4Limit.
HWY_INLINE bool SearchIq4Lanes(const LaneBlocks<kIq4Block>& x, const LaneBlocks<kIq4Block>& weights,
                               float* scales) {
  const Floats d;
  const V zero = hn::Zero(d);
  V largest = zero, max = zero;
  for (int i = 0; i < kIq4Block; ++i) {
    const V v = x.Get(i), magnitude = hn::Abs(v);
    const auto larger = hn::Gt(magnitude, largest);
    largest = hn::IfThenElse(larger, magnitude, largest);
    max = hn::IfThenElse(larger, v, max);
  }
  if (!hn::AllTrue(d, hn::Lt(largest, hn::Set(d, kIq4Limit)))) return false;
  const auto none = hn::Lt(largest, hn::Set(d, kZeroBlock));
  max = hn::IfThenElse(none, hn::Set(d, 1.f), max);
  V vx, v2;
  const auto fit = [&](V inverse) HWY_ATTR {
    vx = v2 = zero;
    const V twice = hn::Add(inverse, inverse);  // exact, and what it is multiplied by also
    for (int i = 0; i < kIq4Block; ++i) {
      const V v = x.Get(i);
      const V value = Iq4Nearest::Value(hn::Mul(twice, v));
      const V weighted = hn::Mul(weights.Get(i), value);
      vx = hn::Add(vx, hn::Mul(weighted, v));
      v2 = hn::Add(v2, hn::Mul(weighted, value));
    }
  };
  constexpr float kLowest = kIq4Values[0];
  fit(hn::Div(hn::Set(d, 1.f), hn::Div(hn::Neg(max), hn::Set(d, kLowest))));
  V scale = hn::Div(vx, v2), best = hn::Mul(scale, vx);
  for (int step = -kIq4Tries; step <= kIq4Tries; ++step) {
    fit(hn::Div(hn::Set(d, static_cast<float>(step) + kLowest), max));
    const auto better = hn::And(hn::Gt(v2, zero), hn::Gt(hn::Mul(vx, vx), hn::Mul(best, v2)));
    scale = hn::IfThenElse(better, hn::Div(vx, v2), scale);
    best = hn::IfThenElse(better, hn::Mul(scale, vx), best);
  }
  hn::Store(hn::IfThenElse(none, zero, scale), d, scales);
  return true;
}

// PackIq4 for this target; called through a pointer by code that is compiled for none.
inline void PackIq4Parts(const float* x, float scale, std::byte* out) {
  const V inverse = hn::Set(Floats(), Reciprocal(scale));
  PackNibbleParts(
      [&](int part) HWY_ATTR {
        const V level = hn::Mul(inverse, LoadPart(x, part));
        return Iq4Nearest::Code(hn::Add(level, level));
      },
      out);
}

// Blocks of type B that are searched together: as many as fill the lanes of a vector.
template <class B>
inline constexpr int kIq4Scales = B::kElements / kIq4Block;
template <class B>
inline constexpr int kIq4Batch = kLanes > kIq4Scales<B> ? kLanes / kIq4Scales<B> : 1;

template <class B>
HWY_INLINE bool EncodeIq4Batch(const float* x, const float* const* importance, std::byte* out) {
  constexpr int kScales = kIq4Scales<B>, kBatch = kIq4Batch<B>;
  float variance[kBatch];
  for (int b = 0; importance != nullptr && b < kBatch; ++b)
    variance[b] = Iq4Variance<B::kElements>(x + b * B::kElements);
  alignas(64) float scales[kBatch * kScales];
  for (int first = 0; first < kBatch * kScales; first += kLanes) {
    LaneBlocks<kIq4Block> values, weights;
    values.Transpose(x + first * kIq4Block, kIq4Block);
    if (importance == nullptr) {
      for (int i = 0; i < kIq4Block; ++i) weights.Put(i, hn::Mul(values.Get(i), values.Get(i)));
    } else {
      WeighSubBlocksBy<kScales>(importance, variance, first, values, weights);
    }
    if (!SearchIq4Lanes(values, weights, scales + first)) return false;
  }
  for (int b = 0; b < kBatch; ++b) {
    const float* from = x + b * B::kElements;
    if (HWY_UNLIKELY(kScales == 1 && std::isnan(scales[b])))
      EncodeIq4<B>(from, importance == nullptr ? nullptr : importance[b], out + b * B::kBytes);
    else
      B::Store(from, scales + b * kScales, PackIq4Parts, out + b * B::kBytes);
  }
  return true;
}

template <class B>
void EncodeIq4Rows(const float* values, int64_t rows, int64_t cols, const float* importance,
                   std::byte* out) {
  EncodeInBatches<kIq4Batch<B>, B::kElements>(*Info(B::kType).codec, B::kBytes, values, rows, cols,
                                              importance, out, EncodeIq4Batch<B>);
}

inline void EncodeMxfp4(const float* values, int64_t rows, int64_t cols, const float*,
                        std::byte* out) {
  constexpr int kBytes = 17;
  const Floats d;
  const hn::RebindToSigned<Floats> di;
  const float* const end = values + rows * cols;
  for (const float* x = values; x != end; x += kBlock32, out += kBytes) {
    V largest = hn::Zero(d);
    for (int part = 0; part < kVectors32; ++part)
      largest = hn::Max(largest, hn::Abs(LoadPart(x, part)));
    const uint8_t e = E8M0For(hn::GetLane(hn::MaxOfLanes(d, largest)));
    const V halved = hn::Set(d, HalvedE8M0(e));
    Store(out, e);
    PackNibbleParts(
        [&](int part) HWY_ATTR {
          const V v = LoadPart(x, part), magnitude = hn::Abs(v);
          auto code = hn::Zero(di);
          for (const float middle : kFp4Middles) {
            const auto beyond = hn::Gt(magnitude, hn::Mul(hn::Set(d, middle), halved));
            code = hn::Sub(code, hn::VecFromMask(di, hn::RebindMask(di, beyond)));
          }
          // The values below 0 come second in the table, behind a second 0.
          const auto below = hn::RebindMask(di, hn::Lt(v, hn::Zero(d)));
          const auto second = hn::And(below, hn::Gt(code, hn::Zero(di)));
          return hn::Add(code, hn::IfThenElseZero(second, hn::Set(di, 8)));
        },
        out + 1);
  }
}

inline std::span<const Codec> TableTwins() {
  static const Codec twins[] = {EncodingTwin(kIQ4_NLCodec, EncodeIq4Rows<Iq4Nl>),
                                EncodingTwin(kIQ4_XSCodec, EncodeIq4Rows<Iq4Xs>),
                                EncodingTwin(kMXFP4Codec, EncodeMxfp4)};
  return twins;
}

}  // namespace quantfleet::pipeline::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // not HWY_SCALAR

#endif  // once per target
