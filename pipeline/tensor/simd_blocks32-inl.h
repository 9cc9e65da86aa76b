// The types with blocks of 32: rounding within a block, which no order of additions touches, and
// searches with one block per lane. Included once per target.
#if defined(QF_SIMD_BLOCKS32_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef QF_SIMD_BLOCKS32_INL
#undef QF_SIMD_BLOCKS32_INL
#else
#define QF_SIMD_BLOCKS32_INL
#endif

#include "hwy/highway.h"
#include "pipeline/tensor/block_codec.h"
#include "pipeline/tensor/blocks32.h"
#include "pipeline/tensor/codecs.h"
#include "pipeline/tensor/simd_search-inl.h"

#if HWY_TARGET != HWY_SCALAR  // whose twin is the scalar codec itself

HWY_BEFORE_NAMESPACE();
namespace quantfleet::pipeline::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

inline constexpr int kVectors32 = kBlock32 / kLanes;  // vectors per block

// The scales of kLanes blocks: one division for all of them.
struct alignas(64) BlockScales {
  float inverse[kLanes], min[kLanes];
  uint16_t scale16[kLanes], min16[kLanes];  // f16

  // scale = extreme / divisor. False where an inverse is infinite: the scalar code knows what
  // becomes of that.
  HWY_INLINE bool Divide(V extreme, float divisor) {
    const Floats d;
    const hn::Rebind<hwy::float16_t, Floats> d16;
    const V scale = hn::Div(extreme, hn::Set(d, divisor));
    const V reciprocal = hn::Div(hn::Set(d, 1.f), scale);
    const V r = hn::IfThenElse(hn::Eq(scale, hn::Zero(d)), hn::Zero(d), reciprocal);
    hn::Store(r, d, inverse);
    hn::StoreU(hn::DemoteTo(d16, scale), d16, reinterpret_cast<hwy::float16_t*>(scale16));
    return hn::AllTrue(d, hn::Lt(hn::Abs(r), hn::Set(d, 3e38f)));
  }
  HWY_INLINE void SetMins(V mins) {
    const Floats d;
    const hn::Rebind<hwy::float16_t, Floats> d16;
    hn::Store(mins, d, min);
    hn::StoreU(hn::DemoteTo(d16, mins), d16, reinterpret_cast<hwy::float16_t*>(min16));
  }
};

HWY_INLINE V LoadPart(const float* x, int part) { return hn::LoadU(Floats(), x + part * kLanes); }

// Reduces kLanes blocks at once: each level halves what is left of two neighbours into one vector,
// until lane l holds block l's result.
template <int kBlocks = kLanes, class OfBlock, class Combine>
HWY_INLINE V FoldBlocks(const float* x, const OfBlock& of_block, const Combine& combine) {
  if constexpr (kBlocks == 1) {
    V folded = of_block(LoadPart(x, 0));
    for (int part = 1; part < kVectors32; ++part)
      folded = combine(folded, of_block(LoadPart(x, part)));
    return folded;
  } else {
    const Floats d;
    const V first = FoldBlocks<kBlocks / 2>(x, of_block, combine);
    const V second = FoldBlocks<kBlocks / 2>(x + kBlocks / 2 * kBlock32, of_block, combine);
    return combine(hn::ConcatEven(d, second, first), hn::ConcatOdd(d, second, first));
  }
}

HWY_INLINE V LargestMagnitudes(const float* x) {
  return FoldBlocks(
      x, [](V v) HWY_ATTR { return hn::Abs(v); }, [](V a, V b) HWY_ATTR { return hn::Max(a, b); });
}
HWY_INLINE V Maxima(const float* x) {
  return FoldBlocks(
      x, [](V v) HWY_ATTR { return v; }, [](V a, V b) HWY_ATTR { return hn::Max(a, b); });
}
HWY_INLINE V Minima(const float* x) {
  return FoldBlocks(
      x, [](V v) HWY_ATTR { return v; }, [](V a, V b) HWY_ATTR { return hn::Min(a, b); });
}

// Codes of one block, 32 bytes from 32 integers in natural order.
HWY_INLINE void StoreCodes(hn::Vec<hn::RebindToSigned<Floats>> codes, int part, uint8_t* out) {
  const hn::Rebind<uint8_t, Floats> d8;
  hn::StoreU(hn::DemoteTo(d8, codes), d8, out + part * kLanes);
}

struct Q8_0Lanes {
  static constexpr int kBytes = 34;
  static constexpr const Codec& kScalar = kQ8_0Codec;
  static HWY_INLINE bool Prepare(const float* x, BlockScales& scales) {
    return scales.Divide(LargestMagnitudes(x), 127.f);
  }
  static HWY_INLINE void Encode(const float* x, const BlockScales& scales, int lane,
                                std::byte* block) {
    const Floats d;
    const hn::RebindToSigned<Floats> di;
    const hn::Rebind<int8_t, Floats> d8;
    const V inverse = hn::Set(d, scales.inverse[lane]);
    // Truncation after adding the float below a half, with the sign of v, is roundf.
    const V half = hn::Set(d, 0.49999997f);
    Store(block, scales.scale16[lane]);
    for (int part = 0; part < kVectors32; ++part) {
      const V v = hn::Mul(LoadPart(x, part), inverse);
      const auto code = hn::ConvertTo(di, hn::Add(v, hn::CopySignToAbs(half, v)));
      hn::StoreU(hn::DemoteTo(d8, code), d8, reinterpret_cast<int8_t*>(block + 2) + part * kLanes);
    }
  }
};

// Codes of a type whose scale has the sign of its extreme value.
template <int kLevels>
struct SymmetricLanes {
  static HWY_INLINE bool Prepare(const float* x, BlockScales& scales) {
    const Floats d;
    const V max = Maxima(x), min = Minima(x), opposite = hn::Neg(min);
    V extreme = hn::IfThenElse(hn::Gt(max, opposite), max, min);
    if (HWY_UNLIKELY(!hn::AllFalse(d, hn::Eq(max, opposite)))) {
      // Of two opposite extremes the first counts: rare enough to look for it one by one.
      alignas(64) float signed_max[kLanes];
      for (int lane = 0; lane < kLanes; ++lane)
        signed_max[lane] = SignedMax<kBlock32>(x + lane * kBlock32);
      extreme = hn::Load(d, signed_max);
    }
    return scales.Divide(extreme, -static_cast<float>(kLevels));
  }
  static HWY_INLINE auto Code(const float* x, V inverse, int part) {
    const Floats d;
    const hn::RebindToSigned<Floats> di;
    const V v = hn::Add(hn::Mul(LoadPart(x, part), inverse),
                        hn::Set(d, static_cast<float>(kLevels) + 0.5f));
    return hn::Min(hn::ConvertTo(di, v), hn::Set(di, 2 * kLevels - 1));
  }
};

template <int kLevels>
struct AffineLanes {
  static HWY_INLINE bool Prepare(const float* x, BlockScales& scales) {
    const Floats d;
    const V max = Maxima(x);
    V min = Minima(x);
    if (HWY_UNLIKELY(!hn::AllFalse(d, hn::Eq(min, hn::Zero(d))))) {
      // Which of two zeros is the smallest hangs on the order.
      alignas(64) float first_min[kLanes];
      for (int lane = 0; lane < kLanes; ++lane) first_min[lane] = FirstMin(x + lane * kBlock32);
      min = hn::Load(d, first_min);
    }
    scales.SetMins(min);
    return scales.Divide(hn::Sub(max, min), static_cast<float>(kLevels));
  }
  static HWY_INLINE auto Code(const float* x, V inverse, V min, int part) {
    const Floats d;
    const hn::RebindToSigned<Floats> di;
    const V v = hn::Add(hn::Mul(hn::Sub(LoadPart(x, part), min), inverse), hn::Set(d, 0.5f));
    return hn::ConvertTo(di, v);  // at most kLevels: the rounding errors stay far below a half
  }
  static float FirstMin(const float* x) {
    float min = x[0];
    for (int i = 1; i < kBlock32; ++i) min = x[i] < min ? x[i] : min;
    return min;
  }
};

// Byte j gets the low nibbles of the codes j and j + 16.
template <class CodeOf>
HWY_INLINE void PackNibbleParts(const CodeOf& code_of, std::byte* out) {
  const hn::Rebind<uint8_t, Floats> d8;
  for (int part = 0; part < kVectors32 / 2; ++part) {
    const auto low = code_of(part), high = hn::ShiftLeft<4>(code_of(part + kVectors32 / 2));
    hn::StoreU(hn::DemoteTo(d8, hn::Or(low, high)), d8,
               reinterpret_cast<uint8_t*>(out) + part * kLanes);
  }
}

// Five bits: the codes of a block as bytes, then as blocks32.h packs them, the fifth bits by mask.
HWY_INLINE void PackFiveBitParts(const uint8_t* codes, std::byte* out) {
  const hn::FixedTag<uint8_t, 16> d8;
  for (int half = 0; half < 2; ++half) {
    const auto fifth = hn::TestBit(hn::LoadU(d8, codes + half * 16), hn::Set(d8, uint8_t{16}));
    hn::StoreMaskBits(d8, fifth, reinterpret_cast<uint8_t*>(out) + half * 2);
  }
  PackNibbles(codes, out + 4);
}

struct Q4_0Lanes : SymmetricLanes<8> {
  static constexpr int kBytes = 18;
  static constexpr const Codec& kScalar = kQ4_0Codec;
  static HWY_INLINE void Encode(const float* x, const BlockScales& scales, int lane,
                                std::byte* block) {
    const V inverse = hn::Set(Floats(), scales.inverse[lane]);
    Store(block, scales.scale16[lane]);
    PackNibbleParts([&](int part) HWY_ATTR { return Code(x, inverse, part); }, block + 2);
  }
};

struct Q5_0Lanes : SymmetricLanes<16> {
  static constexpr int kBytes = 22;
  static constexpr const Codec& kScalar = kQ5_0Codec;
  static HWY_INLINE void Encode(const float* x, const BlockScales& scales, int lane,
                                std::byte* block) {
    const V inverse = hn::Set(Floats(), scales.inverse[lane]);
    uint8_t codes[kBlock32];
    for (int part = 0; part < kVectors32; ++part) StoreCodes(Code(x, inverse, part), part, codes);
    Store(block, scales.scale16[lane]);
    PackFiveBitParts(codes, block + 2);
  }
};

struct Q4_1Lanes : AffineLanes<15> {
  static constexpr int kBytes = 20;
  static constexpr const Codec& kScalar = kQ4_1Codec;
  static HWY_INLINE void Encode(const float* x, const BlockScales& scales, int lane,
                                std::byte* block) {
    const V inverse = hn::Set(Floats(), scales.inverse[lane]),
            min = hn::Set(Floats(), scales.min[lane]);
    Store(block, scales.scale16[lane]);
    Store(block + 2, scales.min16[lane]);
    PackNibbleParts([&](int part) HWY_ATTR { return Code(x, inverse, min, part); }, block + 4);
  }
};

struct Q5_1Lanes : AffineLanes<31> {
  static constexpr int kBytes = 24;
  static constexpr const Codec& kScalar = kQ5_1Codec;
  static HWY_INLINE void Encode(const float* x, const BlockScales& scales, int lane,
                                std::byte* block) {
    const V inverse = hn::Set(Floats(), scales.inverse[lane]),
            min = hn::Set(Floats(), scales.min[lane]);
    uint8_t codes[kBlock32];
    for (int part = 0; part < kVectors32; ++part)
      StoreCodes(Code(x, inverse, min, part), part, codes);
    Store(block, scales.scale16[lane]);
    Store(block + 2, scales.min16[lane]);
    PackFiveBitParts(codes, block + 4);
  }
};

template <class B>
void EncodeBlocks32(const float* values, int64_t rows, int64_t cols, const float*, std::byte* out) {
  const int64_t blocks = rows * (cols / kBlock32);
  int64_t b = 0;
  for (; b + kLanes <= blocks;
       b += kLanes, values += kLanes * kBlock32, out += kLanes * B::kBytes) {
    BlockScales scales;
    if (HWY_UNLIKELY(!B::Prepare(values, scales))) {
      B::kScalar.encode(values, 1, kLanes * kBlock32, nullptr, out);
      continue;
    }
    for (int lane = 0; lane < kLanes; ++lane)
      B::Encode(values + lane * kBlock32, scales, lane, out + lane * B::kBytes);
  }
  if (b < blocks) B::kScalar.encode(values, 1, (blocks - b) * kBlock32, nullptr, out);
}

// The codes of one block with the scales that its lane found.
template <int kElements, bool kAffine>
HWY_INLINE void LaneCodes(const float* x, const LaneScales& found, int lane, int levels,
                          uint8_t* codes) {
  const Floats d;
  const hn::RebindToSigned<Floats> di;
  if (found.inverse[lane] == 0.f) {
    std::memset(codes, 0, kElements);
    return;
  }
  const V inverse = hn::Set(d, found.inverse[lane]);
  const V origin = kAffine ? hn::Set(d, found.origin[lane]) : hn::Zero(d);
  const float top = static_cast<float>(levels);
  const V low = hn::Set(d, kAffine ? 0.f : -top), high = hn::Set(d, kAffine ? top : top - 1);
  const auto bias = hn::Set(di, kAffine ? 0 : levels);
  for (int part = 0; part < kElements / kLanes; ++part) {
    V v = LoadPart(x, part);
    if constexpr (kAffine) v = hn::Sub(v, origin);
    StoreCodes(hn::Add(hn::ConvertTo(di, RoundClamped(hn::Mul(inverse, v), low, high)), bias), part,
               codes);
  }
}

// With importance: the search in lanes, a block each; B is the type in blocks32.h.
template <class B>
void EncodeBlocks32Weighted(const float* row, int64_t cols, const float* importance,
                            std::byte* out) {
  const Floats d;
  const V mean_square = hn::Set(d, MeanSquare(row, cols));
  const int64_t blocks = cols / kBlock32;
  for (int64_t b = 0; b < blocks; b += kLanes) {
    // The last lanes go back over blocks that are done: the same bytes again.
    const int64_t first = b + kLanes <= blocks ? b : blocks - kLanes;
    const float* x = row + first * kBlock32;
    LaneBlocks<kBlock32> values, weights;
    values.Transpose(x, kBlock32);
    weights.Transpose(importance + first * kBlock32, kBlock32);
    for (int i = 0; i < kBlock32; ++i) {
      const V v = values.Get(i);
      weights.Put(i, hn::Mul(weights.Get(i), hn::Sqrt(hn::Add(mean_square, hn::Mul(v, v)))));
    }
    LaneScales found;
    bool exact;
    if constexpr (B::kAffine) {
      exact = SearchAffineLanes<1>(&values, &weights, B::kSearch, &found);
    } else {
      exact = SearchSymmetricLanes<kBlock32>(values, weights, B::kLevels, found);
    }
    if (HWY_UNLIKELY(!exact)) {
      EncodeBlocks<B>(row, 1, cols, importance, out);
      return;
    }
    for (int lane = 0; lane < kLanes; ++lane) {
      uint8_t codes[kBlock32];
      LaneCodes<kBlock32, B::kAffine>(x + lane * kBlock32, found, lane, B::kLevels, codes);
      const Affine affine = {found.scale[lane], B::kAffine ? found.min[lane] : 0.f};
      B::Store(affine, codes, out + (first + lane) * B::kBytes);
    }
  }
}

template <class Rounded, class B>
void EncodeRows32(const float* values, int64_t rows, int64_t cols, const float* importance,
                  std::byte* out) {
  if (importance == nullptr) return EncodeBlocks32<Rounded>(values, rows, cols, nullptr, out);
  if (cols < kLanes * kBlock32) return Rounded::kScalar.encode(values, rows, cols, importance, out);
  const int64_t row_bytes = cols / kBlock32 * Rounded::kBytes;
  for (int64_t r = 0; r < rows; ++r)
    EncodeBlocks32Weighted<B>(values + r * cols, cols, importance, out + r * row_bytes);
}

// Encodes in its own way, all else as `scalar` does.
using EncodeRows = decltype(Codec::encode);
inline Codec EncodingTwin(const Codec& scalar, EncodeRows encode) {
  return {scalar.type, encode, scalar.decode, scalar.dot, scalar.unpack};
}

inline std::span<const Codec> Blocks32Twins() {
  static const Codec twins[] = {
      EncodingTwin(kQ8_0Codec, EncodeBlocks32<Q8_0Lanes>),
      EncodingTwin(kQ4_0Codec, EncodeRows32<Q4_0Lanes, Symmetric32<DType::kQ4_0, 4>>),
      EncodingTwin(kQ4_1Codec, EncodeRows32<Q4_1Lanes, Affine32<DType::kQ4_1, 4>>),
      EncodingTwin(kQ5_0Codec, EncodeRows32<Q5_0Lanes, Symmetric32<DType::kQ5_0, 5>>),
      EncodingTwin(kQ5_1Codec, EncodeRows32<Q5_1Lanes, Affine32<DType::kQ5_1, 5>>)};
  return twins;
}

}  // namespace quantfleet::pipeline::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // not HWY_SCALAR

#endif  // once per target
