// Blocks of integers as NEON registers, 256 elements (a unit) at a time: signed codes, and per
// group of 32 or 16 elements a scale and, where the type has them, a min, so that x = scale * code
// - min whatever the block type. Included once per instruction set, by a file that defines
// QF_TARGET, its target attribute; everything here is private to it.
//
// The dot products of a group are whole numbers and exact; what is added in floats is added here,
// in one order. So the sets of NEON differ in speed alone: each gives the others' bits, for one
// token and for many.

#include <arm_neon.h>

#include <algorithm>

#include "common/base/bytes.h"
#include "engine/kernels/block_table.h"
#include "engine/kernels/in_groups.h"
#include "engine/kernels/matrix_ops.h"
#include "engine/kernels/unroll.h"
#include "pipeline/tensor/codec.h"
#include "pipeline/tensor/mxfp4.h"
#include "pipeline/tensor/unpacked.h"

namespace quantfleet::engine {
namespace {

constexpr int kSubBlocks = 8;  // of 32, in a unit

struct Unit {
  int8x16_t codes[2 * kSubBlocks];
  alignas(16) float scales[16], mins[16];  // 8 of them where groups are of 32
};

QF_INLINE uint8x16_t Bytes16(const std::byte* at) {
  return vld1q_u8(reinterpret_cast<const uint8_t*>(at));
}
QF_INLINE int8x16_t Signed(uint8x16_t codes, int zero) {
  return vsubq_s8(vreinterpretq_s8_u8(codes), vdupq_n_s8(zero));
}

// Four scales of blocks that lie `stride` bytes apart; zero for those behind `count`.
QF_INLINE float32x4_t Halves(const std::byte* at, int stride, int count) {
  uint16_t bits[4] = {};
  for (int j = 0; j < std::min(count, 4); ++j) bits[j] = Load<uint16_t>(at + j * stride);
  return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(bits)));
}
QF_INLINE float Half(const std::byte* at) {
  return vgetq_lane_f32(vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(Load<uint16_t>(at)))), 0);
}

struct Q8_0 {
  static constexpr bool kMins = false;
  static constexpr int kGroup = 32, kUnitBytes = 8 * 34;
  // `count` sub-blocks are there; the others become zero.
  QF_INLINE void Fill(const std::byte* at, int count, Unit& unit) {
    for (int j = 0; j < 2 * kSubBlocks; ++j) {
      unit.codes[j] = vdupq_n_s8(0);
      if (j / 2 < count) unit.codes[j] = Signed(Bytes16(at + 34 * (j / 2) + 2 + j % 2 * 16), 0);
    }
    vst1q_f32(unit.scales, Halves(at, 34, count));
    vst1q_f32(unit.scales + 4, Halves(at + 4 * 34, 34, count - 4));
  }
};

// Bit i of two bytes as 16 or 0 in byte i.
QF_INLINE uint8x16_t FifthBits(const std::byte* at) {
  const uint8x16_t bytes =
      vcombine_u8(vdup_n_u8(Load<uint8_t>(at)), vdup_n_u8(Load<uint8_t>(at + 1)));
  const uint8x16_t bit = vreinterpretq_u8_u64(vdupq_n_u64(0x8040201008040201));
  return vandq_u8(vtstq_u8(bytes, bit), vdupq_n_u8(16));
}

// Q4_0, Q4_1 and Q5_0: a scale, a min where kMin, a fifth bit per element where kFifthBit, nibbles.
template <bool kMin, bool kFifthBit>
struct Nibbles32 {
  static constexpr bool kMins = kMin;
  static constexpr int kHeader = kMin ? 4 : 2, kBytes = kHeader + (kFifthBit ? 20 : 16);
  static constexpr int kGroup = 32, kUnitBytes = 8 * kBytes;
  static constexpr int kZero = kMin ? 0 : kFifthBit ? 16 : 8;
  QF_INLINE void Fill(const std::byte* at, int count, Unit& unit) {
    for (int j = 0; j < kSubBlocks; ++j) {
      unit.codes[2 * j] = unit.codes[2 * j + 1] = vdupq_n_s8(0);
      if (j >= count) continue;
      const std::byte* block = at + kBytes * j;
      const uint8x16_t packed = Bytes16(block + kBytes - 16);
      uint8x16_t low = vandq_u8(packed, vdupq_n_u8(15)), high = vshrq_n_u8(packed, 4);
      if constexpr (kFifthBit) {
        low = vorrq_u8(low, FifthBits(block + kHeader));
        high = vorrq_u8(high, FifthBits(block + kHeader + 2));
      }
      unit.codes[2 * j] = Signed(low, kZero);
      unit.codes[2 * j + 1] = Signed(high, kZero);
    }
    for (int j = 0; j < kSubBlocks; j += 4) {
      vst1q_f32(unit.scales + j, Halves(at + kBytes * j, kBytes, count - j));
      if constexpr (kMin)
        vst1q_f32(unit.mins + j, vnegq_f32(Halves(at + kBytes * j + 2, kBytes, count - j)));
    }
  }
};

// Eight numbers of six bits times a factor.
QF_INLINE void StoreScaled(uint64_t numbers, float factor, float* out) {
  const uint16x8_t words = vmovl_u8(vcreate_u8(numbers));
  vst1q_f32(out, vmulq_n_f32(vcvtq_f32_u32(vmovl_u16(vget_low_u16(words))), factor));
  vst1q_f32(out + 4, vmulq_n_f32(vcvtq_f32_u32(vmovl_high_u16(words)), factor));
}

// Q4_K and Q5_K: see pipeline/tensor/affine_k.h for where the bits of scales and mins lie.
template <bool kFifthBit>
struct AffineK {
  static constexpr bool kMins = true;
  static constexpr int kGroup = 32, kUnitBytes = kFifthBit ? 176 : 144;
  QF_INLINE void Fill(const std::byte* at, int, Unit& unit) {
    const uint32_t a = Load<uint32_t>(at + 4), b = Load<uint32_t>(at + 8),
                   c = Load<uint32_t>(at + 12);
    const uint32_t low = 0x3f3f3f3f, nibble = 0x0f0f0f0f, two = 0x03030303;
    StoreScaled(uint64_t{(c & nibble) | (a >> 6 & two) << 4} << 32 | (a & low), Half(at),
                unit.scales);
    StoreScaled(uint64_t{(c >> 4 & nibble) | (b >> 6 & two) << 4} << 32 | (b & low), Half(at + 2),
                unit.mins);
    const std::byte* nibbles = at + (kFifthBit ? 48 : 16);
    QF_UNROLL
    for (int part = 0; part < 2; ++part) {
      uint8x16_t fifths = Bytes16(at + 16 + 16 * part);  // one bit per sub-block
      QF_UNROLL
      for (int pair = 0; pair < 4; ++pair) {
        const uint8x16_t packed = Bytes16(nibbles + 32 * pair + 16 * part);
        uint8x16_t first = vandq_u8(packed, vdupq_n_u8(15)), second = vshrq_n_u8(packed, 4);
        if constexpr (kFifthBit) {
          first = vorrq_u8(first, vshlq_n_u8(vandq_u8(fifths, vdupq_n_u8(1)), 4));
          second = vorrq_u8(second, vshlq_n_u8(vandq_u8(fifths, vdupq_n_u8(2)), 3));
          fifths = vshrq_n_u8(fifths, 2);
        }
        unit.codes[4 * pair + part] = Signed(first, 0);
        unit.codes[4 * pair + 2 + part] = Signed(second, 0);
      }
    }
  }
};

struct Q6_K {
  static constexpr bool kMins = false;
  static constexpr int kGroup = 16, kUnitBytes = 210;
  QF_INLINE void Fill(const std::byte* at, int, Unit& unit) {
    QF_UNROLL
    for (int i = 0; i < 4; ++i) {  // half, and which 16 of 32
      const int half = i / 2, part = i % 2;
      uint8x16_t high = Bytes16(at + 128 + 32 * half + 16 * part);
      const uint8x16_t lows[2] = {Bytes16(at + 64 * half + 16 * part),
                                  Bytes16(at + 64 * half + 32 + 16 * part)};
      QF_UNROLL
      for (int quarter = 0; quarter < 4; ++quarter, high = vshrq_n_u8(high, 2)) {
        const uint8x16_t packed = lows[quarter % 2];
        const uint8x16_t low =
            quarter < 2 ? vandq_u8(packed, vdupq_n_u8(15)) : vshrq_n_u8(packed, 4);
        const uint8x16_t top = vshlq_n_u8(vandq_u8(high, vdupq_n_u8(3)), 4);
        unit.codes[8 * half + 2 * quarter + part] = Signed(vorrq_u8(low, top), 32);
      }
    }
    const int8x16_t scales = Signed(Bytes16(at + 192), 0);
    const int16x8_t words[2] = {vmovl_s8(vget_low_s8(scales)), vmovl_high_s8(scales)};
    const float d = Half(at + 208);
    QF_UNROLL
    for (int i = 0; i < 2; ++i) {
      vst1q_f32(unit.scales + 8 * i,
                vmulq_n_f32(vcvtq_f32_s32(vmovl_s16(vget_low_s16(words[i]))), d));
      vst1q_f32(unit.scales + 8 * i + 4, vmulq_n_f32(vcvtq_f32_s32(vmovl_high_s16(words[i])), d));
    }
  }
};

struct Q2_K {
  static constexpr bool kMins = true;
  static constexpr int kGroup = 16, kUnitBytes = 84;
  QF_INLINE void Fill(const std::byte* at, int, Unit& unit) {
    QF_UNROLL
    for (int i = 0; i < 4; ++i) {  // half, and which 16 of 32
      const int half = i / 2, part = i % 2;
      uint8x16_t pairs = Bytes16(at + 16 + 32 * half + 16 * part);
      QF_UNROLL
      for (int quarter = 0; quarter < 4; ++quarter, pairs = vshrq_n_u8(pairs, 2))
        unit.codes[8 * half + 2 * quarter + part] = Signed(vandq_u8(pairs, vdupq_n_u8(3)), 0);
    }
    const float d = Half(at + 80), dmin = Half(at + 82);
    const uint64_t nibble = 0x0f0f0f0f0f0f0f0f;
    QF_UNROLL
    for (int i = 0; i < 16; i += 8) {
      const auto packed = Load<uint64_t>(at + i);
      StoreScaled(packed & nibble, d, unit.scales + i);
      StoreScaled(packed >> 4 & nibble, dmin, unit.mins + i);
    }
  }
};

// Nibbles that stand for a table's values: of 16 bytes the low ones, then the high ones.
QF_INLINE void TableCodes(const std::byte* at, int8x16_t values, int8x16_t* codes) {
  const uint8x16_t packed = Bytes16(at);
  codes[0] = vqtbl1q_s8(values, vandq_u8(packed, vdupq_n_u8(15)));
  codes[1] = vqtbl1q_s8(values, vshrq_n_u8(packed, 4));
}

// IQ4_NL and MXFP4: a scale, F16 or of one byte, then the nibbles.
template <size_t kRow>  // of kDTypes
struct Table32 {
  static constexpr const pipeline::DTypeInfo& kInfo = pipeline::kDTypes[kRow];
  static constexpr bool kMins = false;
  static constexpr int kBytes = kInfo.block_bytes, kHeader = kBytes - 16;
  static constexpr int kGroup = 32, kUnitBytes = 8 * kBytes;
  QF_INLINE void Fill(const std::byte* at, int count, Unit& unit) {
    const int8x16_t values = vld1q_s8(kInfo.integer_products->values->data());
    for (int j = 0; j < kSubBlocks; ++j) {
      unit.codes[2 * j] = unit.codes[2 * j + 1] = vdupq_n_s8(0);
      if (j < count) TableCodes(at + kBytes * j + kHeader, values, unit.codes + 2 * j);
    }
    if constexpr (kHeader == 2) {
      vst1q_f32(unit.scales, Halves(at, kBytes, count));
      vst1q_f32(unit.scales + 4, Halves(at + 4 * kBytes, kBytes, count - 4));
    } else {
      for (int j = 0; j < kSubBlocks; ++j)
        unit.scales[j] = j < count ? pipeline::HalvedE8M0(Load<uint8_t>(at + kBytes * j)) : 0.f;
    }
  }
};

// IQ4_XS: see pipeline/tensor/iq4.h for where the scales' bits lie.
template <size_t kRow>
struct Table256 {
  static constexpr bool kMins = false;
  static constexpr int kGroup = 32, kUnitBytes = 136;
  QF_INLINE void Fill(const std::byte* at, int, Unit& unit) {
    const int8x16_t values = vld1q_s8(pipeline::kDTypes[kRow].integer_products->values->data());
    for (int j = 0; j < kSubBlocks; ++j) TableCodes(at + 8 + 16 * j, values, unit.codes + 2 * j);
    const uint8x8_t packed = vcreate_u8(Load<uint32_t>(at + 4));
    const uint8x8_t low = vzip1_u8(vand_u8(packed, vdup_n_u8(15)), vshr_n_u8(packed, 4));
    const int16x8_t shifts = {0, -2, -4, -6, -8, -10, -12, -14};
    const uint16x8_t pairs =
        vandq_u16(vshlq_u16(vdupq_n_u16(Load<uint16_t>(at + 2)), shifts), vdupq_n_u16(3));
    const uint16x8_t six = vorrq_u16(vmovl_u8(low), vshlq_n_u16(pairs, 4));
    const int16x8_t scales = vsubq_s16(vreinterpretq_s16_u16(six), vdupq_n_s16(32));
    const float d = Half(at);
    vst1q_f32(unit.scales, vmulq_n_f32(vcvtq_f32_s32(vmovl_s16(vget_low_s16(scales))), d));
    vst1q_f32(unit.scales + 4, vmulq_n_f32(vcvtq_f32_s32(vmovl_high_s16(scales)), d));
  }
};

// What the type's own codec unpacks.
template <size_t kRow>  // of kDTypes
struct UnpackedUnit {
  static constexpr const pipeline::DTypeInfo& kInfo = pipeline::kDTypes[kRow];
  static constexpr bool kMins = false;
  static constexpr int kGroup = 16, kUnitBytes = kInfo.block_bytes;
  QF_INLINE void Fill(const std::byte* at, int, Unit& unit) {
    pipeline::UnpackedBlock block;
    kInfo.codec->unpack(at, block);
    QF_UNROLL
    for (int i = 0; i < 2 * kSubBlocks; ++i) unit.codes[i] = vld1q_s8(block.codes + 16 * i);
    std::copy_n(block.scales, 16, unit.scales);
  }
};

// Groups whose dot products fill a register, and tokens that share a decoded row.
constexpr int kTogether = 4;

// Adds four groups from `first` on, whose dot products are `dots`; `at` is the unit's first column.
template <class B>
QF_INLINE void AddGroups(const Unit& unit, const ActivationRow& x, int64_t at, int first,
                         int32x4_t dots, float32x4_t& sum) {
  float32x4_t by;
  if constexpr (B::kGroup == 32) {
    by = vld1q_f32(x.scales + at / 32 + first);
  } else {
    // Each of the activations' scales serves two groups.
    const float32x2_t two = vld1_f32(x.scales + at / 32 + first / 2);
    by = vcombine_f32(vdup_lane_f32(two, 0), vdup_lane_f32(two, 1));
  }
  sum = vfmaq_f32(sum, vcvtq_f32_s32(dots), vmulq_f32(vld1q_f32(unit.scales + first), by));
  if constexpr (B::kMins) {
    const float* totals = B::kGroup == 32 ? x.sums + at / 32 : x.half_sums + at / 16;
    sum = vfmsq_f32(sum, vld1q_f32(unit.mins + first), vld1q_f32(totals + first));
  }
}

// sum, and the products of 16 codes with 16, spread over its lanes anyhow: the including file's
// own. Codes of the second are at least -127.
QF_INLINE int32x4_t AddDots(int32x4_t sum, int8x16_t a, int8x16_t b);

// Adds the unit's product with the activations of its columns.
template <class B>
QF_INLINE void AddUnit(const Unit& unit, const ActivationRow& x, int64_t at, float32x4_t& sum) {
  constexpr int kParts = B::kGroup / 16;
  QF_UNROLL
  for (int first = 0; first < kActivationUnit / B::kGroup; first += kTogether) {
    int32x4_t dots[kTogether];
    QF_UNROLL
    for (int g = 0; g < kTogether; ++g) {
      dots[g] = vdupq_n_s32(0);
      QF_UNROLL
      for (int part = 0; part < kParts; ++part) {
        const int i = (first + g) * kParts + part;
        dots[g] = AddDots(dots[g], unit.codes[i], vld1q_s8(x.codes + at + 16 * i));
      }
    }
    AddGroups<B>(unit, x, at, first,
                 vpaddq_s32(vpaddq_s32(dots[0], dots[1]), vpaddq_s32(dots[2], dots[3])), sum);
  }
}

template <class B>
QF_INLINE void FillSome(const std::byte* row, int64_t columns, Unit& unit) {
  if (columns >= kActivationUnit)
    B::Fill(row, kSubBlocks, unit);  // a constant: nothing to ask per sub-block
  else
    B::Fill(row, static_cast<int>(columns / kActivationBlock), unit);
}

// The row times each of a few rows of activations.
template <class B, int kTokens>
QF_TARGET void MultiplyRow(const std::byte* row, int64_t cols, const ActivationRow* x, float* y,
                           int64_t y_stride) {
  float32x4_t sums[kTokens];
  QF_UNROLL
  for (float32x4_t& sum : sums) sum = vdupq_n_f32(0);
  Unit unit;
  for (int64_t at = 0; at < cols; at += kActivationUnit, row += B::kUnitBytes) {
    FillSome<B>(row, cols - at, unit);
    QF_UNROLL
    for (int t = 0; t < kTokens; ++t) AddUnit<B>(unit, x[t], at, sums[t]);
  }
  QF_UNROLL
  for (int t = 0; t < kTokens; ++t) y[t * y_stride] = vaddvq_f32(sums[t]);
}

// A strip of rows times kTogether rows of activations: the including file's own.
template <class B>
QF_TARGET void MultiplyTogether(const std::byte* weights, int64_t row_bytes, int64_t rows,
                                int64_t cols, const ActivationRow* x, float* y, int64_t y_stride);

template <class B>
QF_TARGET void Multiply(const std::byte* weights, int64_t row_bytes, int64_t rows, int64_t cols,
                        std::span<const ActivationRow> x, float* y, int64_t y_stride) {
  const auto tokens = static_cast<int64_t>(x.size());
  // Strips of rows stay in cache while the tokens pass by.
  constexpr int64_t kStrip = 16;
  for (int64_t r = 0; r < rows; r += kStrip) {
    const std::byte* strip = weights + r * row_bytes;
    const int64_t height = std::min(kStrip, rows - r);
    InGroups(std::integer_sequence<int, kTogether, 1>(), tokens, [&]<int kTokens>(int64_t t) {
      const ActivationRow* some = &x[static_cast<size_t>(t)];
      float* out = y + t * y_stride + r;
      if constexpr (kTokens == kTogether) {
        MultiplyTogether<B>(strip, row_bytes, height, cols, some, out, y_stride);
      } else {
        for (int64_t i = 0; i < height; ++i)
          MultiplyRow<B, 1>(strip + i * row_bytes, cols, some, out + i, y_stride);
      }
    });
  }
}

// As block_table.h takes it. A row gives the same bits with others and alone.
struct NeonSet {
  using Q8 = Q8_0;
  template <bool kMin, bool kFifthBit>
  using Nibbles = Nibbles32<kMin, kFifthBit>;
  template <bool kFifthBit>
  using Affine = AffineK<kFifthBit>;
  using Q2 = Q2_K;
  using Q6 = Q6_K;
  template <size_t kRow>
  using Table = Table32<kRow>;
  template <size_t kRow>
  using TableK = Table256<kRow>;
  template <size_t kRow>
  using Unpacked = UnpackedUnit<kRow>;
  template <class B>
  static constexpr MultiplyPair kIntegers = {Multiply<B>, Multiply<B>};
  template <pipeline::DType>
  static constexpr MultiplyPair kFloats = {};
};

}  // namespace
}  // namespace quantfleet::engine
