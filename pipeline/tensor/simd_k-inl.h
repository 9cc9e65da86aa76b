// The types with super-blocks of 256: a sub-block per lane while the scales are searched, then a
// super-block at a time while its codes are made. Included once per target.
#if defined(QF_SIMD_K_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef QF_SIMD_K_INL
#undef QF_SIMD_K_INL
#else
#define QF_SIMD_K_INL
#endif

#include "hwy/highway.h"
#include "pipeline/tensor/affine_k.h"
#include "pipeline/tensor/codecs.h"
#include "pipeline/tensor/q2_k.h"
#include "pipeline/tensor/q3_k.h"
#include "pipeline/tensor/simd_blocks32-inl.h"
#include "pipeline/tensor/simd_search-inl.h"
#include "pipeline/tensor/symmetric_k.h"

#if HWY_TARGET != HWY_SCALAR  // whose twin is the scalar codec itself

HWY_BEFORE_NAMESPACE();
namespace quantfleet::pipeline::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// round((x + shift) / scale), clamped to low..high, less low: the reference's own integer
// arithmetic, since a tiny scale makes quotients of any size.
template <int kElements>
HWY_INLINE void DivideToCodes(const float* x, float shift, float scale, int low, int high,
                              uint8_t* codes) {
  const Floats d;
  const hn::RebindToSigned<Floats> di;
  const V shift_v = hn::Set(d, shift), scale_v = hn::Set(d, scale), magic = hn::Set(d, 12582912.f);
  const auto low_v = hn::Set(di, low), high_v = hn::Set(di, high);
  for (int part = 0; part < kElements / kLanes; ++part) {
    const V quotient = hn::Div(hn::Add(LoadPart(x, part), shift_v), scale_v);
    const auto bits = hn::And(hn::BitCast(di, hn::Add(quotient, magic)), hn::Set(di, 0x007fffff));
    const auto code = hn::Min(hn::Max(hn::Sub(bits, hn::Set(di, 0x00400000)), low_v), high_v);
    StoreCodes(hn::Sub(code, low_v), part, codes);
  }
}

// Super-blocks that are searched together: their sub-blocks fill the lanes of kAffineGroups
// vectors.
inline constexpr int kAffineGroups = 2;
inline constexpr int kBatched = kAffineGroups * kLanes / kSubBlocks;

// Weights of the sub-blocks of one group, a lane each.
HWY_INLINE void WeighSubBlocks(const LaneBlocks<kSubBlock>& values,
                               LaneBlocks<kSubBlock>& weights) {
  const Floats d;
  V sum = hn::Zero(d);
  for (int i = 0; i < kSubBlock; ++i) sum = hn::Add(sum, hn::Mul(values.Get(i), values.Get(i)));
  const V typical = hn::Sqrt(hn::Div(sum, hn::Set(d, static_cast<float>(kSubBlock))));
  for (int i = 0; i < kSubBlock; ++i) weights.Put(i, hn::Add(typical, hn::Abs(values.Get(i))));
}

// importance and variance: per block of the batch, which has kInBlock sub-blocks; first: the
// group's first sub-block in the batch.
template <int kInBlock = kSubBlocks>
HWY_INLINE void WeighSubBlocksBy(const float* const* importance, const float* variance, int first,
                                 const LaneBlocks<kSubBlock>& values,
                                 LaneBlocks<kSubBlock>& weights) {
  const Floats d;
  alignas(64) float lane_variance[kLanes];
  for (int lane = 0; lane < kLanes; ++lane) {
    const int sub = first + lane;
    lane_variance[lane] = variance[sub / kInBlock];
    const float* from = importance[sub / kInBlock] + sub % kInBlock * kSubBlock;
    for (int i = 0; i < kSubBlock; ++i) weights.values[i * kLanes + lane] = from[i];
  }
  const V variance_v = hn::Load(d, lane_variance);
  for (int i = 0; i < kSubBlock; ++i) {
    const V v = values.Get(i);
    weights.Put(i, hn::Mul(weights.Get(i), hn::Sqrt(hn::Add(variance_v, hn::Mul(v, v)))));
  }
}

// kBatched super-blocks of Q4_K or Q5_K; importance is null or has one pointer for each.
template <class B>
HWY_INLINE bool EncodeAffineKBatch(const float* x, const float* const* importance, std::byte* out) {
  LaneBlocks<kSubBlock> values[kAffineGroups], weights[kAffineGroups];
  LaneScales found[kAffineGroups];
  float variance[kBatched];
  for (int s = 0; importance != nullptr && s < kBatched; ++s) {
    float sum = 0;
    for (int i = 0; i < kSuperBlock; ++i) sum += x[s * kSuperBlock + i] * x[s * kSuperBlock + i];
    variance[s] = 2 * sum / kSuperBlock;
  }
  for (int g = 0; g < kAffineGroups; ++g) {
    values[g].Transpose(x + g * kLanes * kSubBlock, kSubBlock);
    if (importance == nullptr) {
      WeighSubBlocks(values[g], weights[g]);
    } else {
      WeighSubBlocksBy(importance, variance, g * kLanes, values[g], weights[g]);
    }
  }
  const AffineSearch how =
      importance == nullptr ? B::kSearch : AffineSearch{B::kSearch.levels, -0.9f, 0.05f, 36};
  if (!SearchAffineLanes<kAffineGroups>(values, weights, how, found)) return false;
  for (int s = 0; s < kBatched; ++s) {
    float scales[kSubBlocks], minus_mins[kSubBlocks], sums[kSubBlocks];
    for (int j = 0; j < kSubBlocks; ++j) {
      const int sub = s * kSubBlocks + j;
      const LaneScales& from = found[sub / kLanes];
      scales[j] = from.scale[sub % kLanes];
      minus_mins[j] = -from.min[sub % kLanes];
      sums[j] = from.weight[sub % kLanes];
    }
    const AffineKHeader header = importance == nullptr ? RoundScales(scales, minus_mins)
                                                       : SearchScales(scales, minus_mins, sums);
    uint8_t codes[kSuperBlock];
    for (int j = 0; j < kSubBlocks; ++j) {
      const int sub = s * kSubBlocks + j;
      const float* from = x + sub * kSubBlock;
      const SubScale stored = SubScaleOf(header, j);
      uint8_t* to = codes + j * kSubBlock;
      if (stored.scale != 0.f) {
        DivideToCodes<kSubBlock>(from, stored.minus_min, stored.scale, 0, B::kSearch.levels, to);
      } else {
        LaneCodes<kSubBlock, true>(from, found[sub / kLanes], sub % kLanes, B::kSearch.levels, to);
      }
    }
    B::Pack(header, codes, out + s * B::kBytes);
  }
  return true;
}

struct Q4_KLanes {
  static constexpr AffineSearch kSearch = kQ4_KSearch;
  static constexpr int kBytes = 144;
  static constexpr const Codec& kScalar = kQ4_KCodec;
  static HWY_INLINE void Pack(const AffineKHeader& header, const uint8_t* codes, std::byte* block) {
    StoreHeader(header, block);
    PackNibblesK(codes, block + kAffineKHeader);
  }
};

struct Q5_KLanes {
  static constexpr AffineSearch kSearch = kQ5_KSearch;
  static constexpr int kBytes = 176;
  static constexpr const Codec& kScalar = kQ5_KCodec;
  static HWY_INLINE void Pack(const AffineKHeader& header, const uint8_t* codes, std::byte* block) {
    StoreHeader(header, block);
    PackFifthBitsK(codes, block + kAffineKHeader);
    PackNibblesK(codes, block + kAffineKHeader + kSubBlock);
  }
};

// kBatch blocks at a time by encode_batch(x, importance or null, out), which says whether it could.
template <int kBatch, int kElements, class EncodeBatch>
HWY_INLINE void EncodeInBatches(const Codec& scalar, int64_t bytes, const float* values,
                                int64_t rows, int64_t cols, const float* importance, std::byte* out,
                                const EncodeBatch& encode_batch) {
  const int64_t row_blocks = cols / kElements, blocks = rows * row_blocks;
  const auto weights_of = [&](int64_t block) {
    return importance == nullptr ? nullptr : importance + block % row_blocks * kElements;
  };
  for (int64_t b = 0; b < blocks; b += kBatch) {
    // The last batch goes back over blocks that are done: the same bytes again.
    const int64_t first = std::max<int64_t>(0, std::min(b, blocks - kBatch));
    if (blocks >= kBatch) {
      const float* weights[kBatch];
      for (int s = 0; s < kBatch; ++s) weights[s] = weights_of(first + s);
      if (encode_batch(values + first * kElements, importance == nullptr ? nullptr : weights,
                       out + first * bytes)) {
        continue;
      }
    }
    for (int64_t block = first; block < std::min(first + kBatch, blocks); ++block)
      scalar.encode(values + block * kElements, 1, kElements, weights_of(block),
                    out + block * bytes);
  }
}

template <class B>
void EncodeAffineKRows(const float* values, int64_t rows, int64_t cols, const float* importance,
                       std::byte* out) {
  EncodeInBatches<kBatched, kSuperBlock>(B::kScalar, B::kBytes, values, rows, cols, importance, out,
                                         EncodeAffineKBatch<B>);
}

// Codes of a super-block of Q6_K's groups: those of the rounded scales, and of a group whose scale
// came to 0 those that the search found, which found(group, codes) has.
template <class Found>
HWY_INLINE void GroupCodesOr(const float* x, const Q6Scales& rounded, int levels, uint8_t* codes,
                             const Found& found) {
  for (int g = 0; g < kQ6Groups; ++g) {
    const float scale = HalfToFloat(rounded.d) * static_cast<float>(rounded.groups[g]);
    const float* from = x + g * kQ6Group;
    uint8_t* to = codes + g * kQ6Group;
    if (scale != 0.f) {
      DivideToCodes<kQ6Group>(from, 0.f, scale, -levels, levels - 1, to);
    } else {
      found(g, to);
    }
  }
}

HWY_INLINE void GroupCodes(const float* x, const Q6Scales& rounded, const LaneScales* found,
                           int levels, uint8_t* codes) {
  GroupCodesOr(x, rounded, levels, codes, [&](int g, uint8_t* to) HWY_ATTR {
    LaneCodes<kQ6Group, false>(x + g * kQ6Group, found[g / kLanes], g % kLanes, levels, to);
  });
}

HWY_INLINE bool EncodeQ6KBlock(const float* x, const float* importance, std::byte* block) {
  LaneScales found[(kQ6Groups + kLanes - 1) / kLanes];
  alignas(64) float scales[kQ6Groups];
  for (int chunk = 0; chunk < kQ6Groups / kLanes; ++chunk) {
    const int first = chunk * kLanes * kQ6Group;
    LaneBlocks<kQ6Group> values, weights;
    values.Transpose(x + first, kQ6Group);
    if (importance == nullptr) {
      for (int i = 0; i < kQ6Group; ++i) weights.Put(i, hn::Mul(values.Get(i), values.Get(i)));
    } else {
      weights.Transpose(importance + first, kQ6Group);
    }
    if (!SearchSymmetricLanes<kQ6Group>(values, weights, kQ6Levels, found[chunk])) return false;
    std::memcpy(scales + chunk * kLanes, found[chunk].scale, sizeof found[chunk].scale);
  }
  Q6Scales rounded;
  if (!RoundGroupScales(scales, rounded)) {
    std::memset(block, 0, kQ6Bytes);
    return true;
  }
  uint8_t codes[kQ6Elements];
  GroupCodes(x, rounded, found, kQ6Levels, codes);
  PackQ6(codes, rounded, block);
  return true;
}

inline void EncodeQ6KRows(const float* values, int64_t rows, int64_t cols, const float* importance,
                          std::byte* out) {
  const int64_t row_blocks = cols / kQ6Elements;
  for (int64_t b = 0; b < rows * row_blocks; ++b) {
    const float* x = values + b * kQ6Elements;
    const float* weight =
        importance == nullptr ? nullptr : importance + b % row_blocks * kQ6Elements;
    if (!EncodeQ6KBlock(x, weight, out + b * kQ6Bytes))
      kQ6_KCodec.encode(x, 1, kQ6Elements, weight, out + b * kQ6Bytes);
  }
}

// Weights of kLanes groups of 16, a lane each: importance spread by the variance.
HWY_INLINE void WeighGroups(const float* importance, float variance, const LaneBlocks<16>& values,
                            LaneBlocks<16>& weights) {
  const V variance_v = hn::Set(Floats(), variance);
  weights.Transpose(importance, 16);
  for (int i = 0; i < 16; ++i) {
    const V v = values.Get(i);
    weights.Put(i, hn::Mul(weights.Get(i), hn::Sqrt(hn::Add(variance_v, hn::Mul(v, v)))));
  }
}

HWY_INLINE bool EncodeQ2KBlock(const float* x, const float* importance, std::byte* block) {
  constexpr int kVectors = kQ2Groups / kLanes;
  LaneBlocks<kQ2Group> values[kVectors], weights[kVectors];
  LaneScales found[kVectors];
  const float variance = importance == nullptr ? 0.f : Q2Variance(x);
  for (int v = 0; v < kVectors; ++v) {
    const int first = v * kLanes * kQ2Group;
    values[v].Transpose(x + first, kQ2Group);
    if (importance == nullptr) {
      for (int i = 0; i < kQ2Group; ++i) weights[v].Put(i, hn::Abs(values[v].Get(i)));
    } else {
      WeighGroups(importance + first, variance, values[v], weights[v]);
    }
  }
  const AffineSearch& how = importance == nullptr ? kQ2Search : kQ2SearchWeighted;
  if (!SearchAffineLanes<kVectors>(values, weights, how, found)) return false;
  float scales[kQ2Groups], minus_mins[kQ2Groups], group_weights[kQ2Groups];
  for (int g = 0; g < kQ2Groups; ++g) {
    const LaneScales& from = found[g / kLanes];
    scales[g] = from.scale[g % kLanes];
    minus_mins[g] = -from.min[g % kLanes];
    group_weights[g] = from.weight[g % kLanes];
  }
  const Q2Scales rounded = importance == nullptr
                               ? RoundQ2Scales(scales, minus_mins)
                               : SearchQ2Scales(scales, minus_mins, group_weights);
  uint8_t codes[kQ2Elements];
  for (int g = 0; g < kQ2Groups; ++g) {
    const float scale = rounded.ScaleOf(g);
    const float* from = x + g * kQ2Group;
    uint8_t* to = codes + g * kQ2Group;
    if (scale != 0.f) {
      DivideToCodes<kQ2Group>(from, rounded.MinusMinOf(g), scale, 0, kQ2Levels, to);
    } else {
      LaneCodes<kQ2Group, true>(from, found[g / kLanes], g % kLanes, kQ2Levels, to);
    }
  }
  StoreQ2(rounded, codes, block);
  return true;
}

// Without importance.
HWY_INLINE void EncodeQ3KBlockByMoves(const float* x, std::byte* block) {
  constexpr int kVectors = kQ6Groups / kLanes;
  LaneBlocks<kQ6Group> values[kVectors], found[kVectors];
  alignas(64) float scales[kVectors][kLanes];
  for (int v = 0; v < kVectors; ++v) values[v].Transpose(x + v * kLanes * kQ6Group, kQ6Group);
  SearchByMovesLanes<kVectors>(values, kQ3Levels, found, scales);
  const Q6Scales rounded = RoundQ3Scales(&scales[0][0]);
  uint8_t codes[kQ6Elements];
  GroupCodesOr(x, rounded, kQ3Levels, codes, [&](int g, uint8_t* to) HWY_ATTR {
    for (int i = 0; i < kQ6Group; ++i) {
      const float level = found[g / kLanes].values[i * kLanes + g % kLanes];
      to[i] = static_cast<uint8_t>(static_cast<int>(level) + kQ3Levels);
    }
  });
  StoreQ3(rounded, codes, block);
}

// With importance.
HWY_INLINE bool EncodeQ3KBlock(const float* x, const float* importance, std::byte* block) {
  LaneScales found[kQ6Groups / kLanes];
  alignas(64) float scales[kQ6Groups], group_weights[kQ6Groups];
  const float variance = Q3Variance(x);
  for (int chunk = 0; chunk < kQ6Groups / kLanes; ++chunk) {
    const int first = chunk * kLanes * kQ6Group;
    LaneBlocks<kQ6Group> values, weights;
    values.Transpose(x + first, kQ6Group);
    WeighGroups(importance + first, variance, values, weights);
    if (!SearchSymmetricLanes<kQ6Group>(values, weights, kQ3Levels, found[chunk])) return false;
    std::memcpy(scales + chunk * kLanes, found[chunk].scale, sizeof found[chunk].scale);
    V sum = hn::Zero(Floats());
    for (int i = 0; i < kQ6Group; ++i) sum = hn::Add(sum, weights.Get(i));
    hn::Store(sum, Floats(), group_weights + chunk * kLanes);
  }
  const Q6Scales rounded = SearchQ3Scales(scales, group_weights);
  uint8_t codes[kQ6Elements];
  GroupCodes(x, rounded, found, kQ3Levels, codes);
  StoreQ3(rounded, codes, block);
  return true;
}

inline void EncodeQ2KRows(const float* values, int64_t rows, int64_t cols, const float* importance,
                          std::byte* out) {
  EncodeInBatches<1, kQ2Elements>(
      kQ2_KCodec, kQ2Bytes, values, rows, cols, importance, out,
      [](const float* x, const float* const* weights, std::byte* block)
          HWY_ATTR { return EncodeQ2KBlock(x, weights == nullptr ? nullptr : *weights, block); });
}

inline void EncodeQ3KRows(const float* values, int64_t rows, int64_t cols, const float* importance,
                          std::byte* out) {
  if (importance == nullptr) {
    for (int64_t b = 0; b < rows * cols / kQ6Elements; ++b)
      EncodeQ3KBlockByMoves(values + b * kQ6Elements, out + b * kQ3Bytes);
    return;
  }
  EncodeInBatches<1, kQ6Elements>(kQ3_KCodec, kQ3Bytes, values, rows, cols, importance, out,
                                  [](const float* x, const float* const* weights, std::byte* block)
                                      HWY_ATTR { return EncodeQ3KBlock(x, *weights, block); });
}

inline std::span<const Codec> SuperBlockTwins() {
  static const Codec twins[] = {EncodingTwin(kQ4_KCodec, EncodeAffineKRows<Q4_KLanes>),
                                EncodingTwin(kQ5_KCodec, EncodeAffineKRows<Q5_KLanes>),
                                EncodingTwin(kQ6_KCodec, EncodeQ6KRows),
                                EncodingTwin(kQ3_KCodec, EncodeQ3KRows),
                                EncodingTwin(kQ2_KCodec, EncodeQ2KRows)};
  return twins;
}

}  // namespace quantfleet::pipeline::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // not HWY_SCALAR

#endif  // once per target
