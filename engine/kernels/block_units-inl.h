// Blocks of integers as AVX2 registers, 256 elements (a unit) at a time: codes from 0 up, and per
// group of 32 or 16 elements a scale and a min, so that x = scale * code - min whatever the block
// type. Included by a file that defines QF_TARGET; private to it.
#pragma once

#include <algorithm>
#include <bit>
#include <cstring>

#include "common/base/bytes.h"
#include "engine/kernels/in_groups.h"
#include "engine/kernels/matrix_ops.h"
#include "engine/kernels/registers_x86-inl.h"
#include "engine/kernels/unroll.h"
#include "pipeline/tensor/codec.h"
#include "pipeline/tensor/unpacked.h"

namespace quantfleet::engine {
namespace {

constexpr int kSubBlocks = 8;  // of 32, in a unit

struct Unit {
  __m256i codes[kSubBlocks];
  alignas(32) float scales[16], mins[16];  // 8 of them where groups are of 32
};

// Eight scales of blocks that lie `stride` bytes apart; zero for those behind `count`.
QF_INLINE __m256 Halves(const std::byte* at, int stride, int count) {
  alignas(16) uint16_t bits[8] = {};
  for (int j = 0; j < count; ++j) bits[j] = Load<uint16_t>(at + j * stride);
  return _mm256_cvtph_ps(_mm_load_si128(reinterpret_cast<const __m128i*>(bits)));
}

QF_INLINE __m256i Nibbles(__m256i bytes, int shift) {
  return _mm256_and_si256(_mm256_srli_epi16(bytes, shift), _mm256_set1_epi8(15));
}

// kSigned: for products that take codes of eight bits as they are, with no min, and not from 0 up.
template <bool kSigned>
struct Q8_0 {
  static constexpr bool kOf32 = true;  // a row may end within a unit
  static constexpr bool kMins = !kSigned;
  static constexpr int kBits = 8, kGroup = 32, kUnitBytes = 8 * 34;
  // `count` sub-blocks are there; the others become zero.
  QF_INLINE void Fill(const std::byte* at, int count, Unit& unit) {
    const __m256i flip = _mm256_set1_epi8(kSigned ? 0 : -128);
    QF_UNROLL
    for (int j = 0; j < kSubBlocks; ++j)
      unit.codes[j] = j < count ? _mm256_xor_si256(X86::Bytes32(at + 34 * j + 2), flip)
                                : _mm256_setzero_si256();
    const __m256 scales = Halves(at, 34, count);
    _mm256_store_ps(unit.scales, scales);
    _mm256_store_ps(unit.mins,
                    kMins ? _mm256_mul_ps(scales, _mm256_set1_ps(128)) : _mm256_setzero_ps());
  }
};

QF_INLINE __m256 EightBytes(uint64_t bytes) {
  return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_cvtsi64_si128(static_cast<int64_t>(bytes))));
}

// Bit i of four bytes as 16 or 0 in byte i.
QF_INLINE __m256i FifthBits(const std::byte* at) {
  const __m256i bytes =
      _mm256_shuffle_epi8(_mm256_set1_epi32(Load<int32_t>(at)),
                          _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2,
                                           2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3));
  const __m256i bit = _mm256_set1_epi64x(static_cast<int64_t>(0x8040201008040201));
  const __m256i set = _mm256_cmpeq_epi8(_mm256_and_si256(bytes, bit), bit);
  return _mm256_and_si256(set, _mm256_set1_epi8(16));
}

// Q4_0, Q4_1 and Q5_0: a scale, a min where kMin, a fifth bit per element where kFifthBit, nibbles.
template <bool kMin, bool kFifthBit>
struct Nibbles32 {
  static constexpr bool kOf32 = true;
  static constexpr bool kMins = true;
  static constexpr int kBits = kFifthBit ? 5 : 4;
  static constexpr int kHeader = kMin ? 4 : 2, kBytes = kHeader + (kFifthBit ? 20 : 16);
  static constexpr int kGroup = 32, kUnitBytes = 8 * kBytes;
  static constexpr float kZero = kFifthBit ? 16 : 8;
  QF_INLINE void Fill(const std::byte* at, int count, Unit& unit) {
    QF_UNROLL
    for (int j = 0; j < kSubBlocks; ++j) {
      unit.codes[j] = _mm256_setzero_si256();
      if (j >= count) continue;
      const std::byte* block = at + kBytes * j;
      const __m128i packed = X86::Bytes16(block + kBytes - 16);
      unit.codes[j] = _mm256_and_si256(_mm256_set_m128i(_mm_srli_epi16(packed, 4), packed),
                                       _mm256_set1_epi8(15));
      if constexpr (kFifthBit)
        unit.codes[j] = _mm256_or_si256(unit.codes[j], FifthBits(block + kHeader));
    }
    const __m256 scales = Halves(at, kBytes, count);
    _mm256_store_ps(unit.scales, scales);
    _mm256_store_ps(unit.mins,
                    kMin ? _mm256_sub_ps(_mm256_setzero_ps(), Halves(at + 2, kBytes, count))
                         : _mm256_mul_ps(scales, _mm256_set1_ps(kZero)));
  }
};

// Scales and mins of Q4_K and Q5_K: see pipeline/tensor/affine_k.h for where their bits lie.
QF_INLINE void FillAffineScales(const std::byte* at, Unit& unit) {
  const uint32_t a = Load<uint32_t>(at + 4), b = Load<uint32_t>(at + 8),
                 c = Load<uint32_t>(at + 12);
  const uint32_t low = 0x3f3f3f3f, nibble = 0x0f0f0f0f, two = 0x03030303;
  const uint64_t scales = uint64_t{(c & nibble) | (a >> 6 & two) << 4} << 32 | (a & low);
  const uint64_t mins = uint64_t{(c >> 4 & nibble) | (b >> 6 & two) << 4} << 32 | (b & low);
  _mm256_store_ps(unit.scales, _mm256_mul_ps(EightBytes(scales), _mm256_set1_ps(X86::Half(at))));
  _mm256_store_ps(unit.mins, _mm256_mul_ps(EightBytes(mins), _mm256_set1_ps(X86::Half(at + 2))));
}

template <bool kFifthBit>
struct AffineK {
  static constexpr bool kOf32 = false;
  static constexpr bool kMins = true;
  static constexpr int kBits = kFifthBit ? 5 : 4;
  static constexpr int kGroup = 32, kUnitBytes = kFifthBit ? 176 : 144;
  QF_INLINE void Fill(const std::byte* at, int, Unit& unit) {
    FillAffineScales(at, unit);
    const std::byte* nibbles = at + (kFifthBit ? 48 : 16);
    __m256i high = X86::Bytes32(at + 16);  // where kFifthBit, one bit per sub-block
    const __m256i one = _mm256_set1_epi8(1);
    QF_UNROLL
    for (int j = 0; j < kSubBlocks; ++j, high = _mm256_srli_epi16(high, 1)) {
      unit.codes[j] = Nibbles(X86::Bytes32(nibbles + 32 * (j / 2)), j % 2 * 4);
      if constexpr (kFifthBit)
        unit.codes[j] =
            _mm256_or_si256(unit.codes[j], _mm256_slli_epi16(_mm256_and_si256(high, one), 4));
    }
  }
};

struct Q6_K {
  static constexpr bool kOf32 = false;
  static constexpr bool kMins = true;
  static constexpr int kBits = 6;
  static constexpr int kGroup = 16, kUnitBytes = 210;
  QF_INLINE void Fill(const std::byte* at, int, Unit& unit) {
    const __m256i two_bits = _mm256_set1_epi8(3);
    QF_UNROLL
    for (int half = 0; half < 2; ++half) {
      __m256i high = X86::Bytes32(at + 128 + 32 * half);
      QF_UNROLL
      for (int quarter = 0; quarter < 4; ++quarter, high = _mm256_srli_epi16(high, 2)) {
        const __m256i low =
            Nibbles(X86::Bytes32(at + 64 * half + quarter % 2 * 32), quarter / 2 * 4);
        const __m256i top = _mm256_slli_epi16(_mm256_and_si256(high, two_bits), 4);
        unit.codes[4 * half + quarter] = _mm256_or_si256(low, top);
      }
    }
    const __m256 d = _mm256_set1_ps(X86::Half(at + 208));
    QF_UNROLL
    for (int i = 0; i < 2; ++i) {
      const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(at + 192 + 8 * i));
      const __m256 scales = _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)), d);
      _mm256_store_ps(unit.scales + 8 * i, scales);
      _mm256_store_ps(unit.mins + 8 * i, _mm256_mul_ps(scales, _mm256_set1_ps(32)));
    }
  }
};

struct Q2_K {
  static constexpr bool kOf32 = false;
  static constexpr bool kMins = true;
  static constexpr int kBits = 2;
  static constexpr int kGroup = 16, kUnitBytes = 84;
  QF_INLINE void Fill(const std::byte* at, int, Unit& unit) {
    QF_UNROLL
    for (int half = 0; half < 2; ++half) {
      __m256i pairs = X86::Bytes32(at + 16 + 32 * half);
      QF_UNROLL
      for (int quarter = 0; quarter < 4; ++quarter, pairs = _mm256_srli_epi16(pairs, 2))
        unit.codes[4 * half + quarter] = _mm256_and_si256(pairs, _mm256_set1_epi8(3));
    }
    const __m256 d = _mm256_set1_ps(X86::Half(at + 80)), dmin = _mm256_set1_ps(X86::Half(at + 82));
    const uint64_t nibble = 0x0f0f0f0f0f0f0f0f;
    QF_UNROLL
    for (int i = 0; i < 2; ++i) {
      const auto packed = Load<uint64_t>(at + 8 * i);
      _mm256_store_ps(unit.scales + 8 * i, _mm256_mul_ps(EightBytes(packed & nibble), d));
      _mm256_store_ps(unit.mins + 8 * i, _mm256_mul_ps(EightBytes(packed >> 4 & nibble), dmin));
    }
  }
};

// Codes up to kLargest of either sign, for products that take codes of eight bits signed or not.
// From kZero up there is a min.
template <int kLargest, bool kAsTheyAre>
struct SignedCodes {
  static constexpr int kZero = kAsTheyAre ? 0 : std::bit_ceil(static_cast<unsigned>(kLargest) + 1);
  static constexpr bool kMins = !kAsTheyAre;
  static constexpr int kBits = kAsTheyAre ? 8 : std::bit_width(2u * kZero - 1);
  QF_INLINE __m256i FromZero(__m256i codes) {
    return _mm256_add_epi8(codes, _mm256_set1_epi8(static_cast<char>(kZero)));
  }
  QF_INLINE void StoreScales(__m256 scales, int first, Unit& unit) {
    _mm256_store_ps(unit.scales + first, scales);
    _mm256_store_ps(unit.mins + first,
                    _mm256_mul_ps(scales, _mm256_set1_ps(static_cast<float>(kZero))));
  }
};

template <size_t kRow>  // of kDTypes
inline constexpr int kLargestValue =
    pipeline::LargestOf(*pipeline::kDTypes[kRow].integer_products->values);

// Nibbles that stand for a table's values. Small values go from 0 up in any set: products of few
// bits are faster than signed ones by more than the min takes.
template <size_t kRow, bool kSigned>
struct TableCodes : SignedCodes<kLargestValue<kRow>, kSigned && (kLargestValue<kRow> >= 32)> {
  static constexpr const pipeline::DTypeInfo& kInfo = pipeline::kDTypes[kRow];
  static constexpr int kGroup = 32;
  QF_INLINE __m256i Values() {
    const auto* values = reinterpret_cast<const std::byte*>(kInfo.integer_products->values->data());
    return TableCodes::FromZero(_mm256_broadcastsi128_si256(X86::Bytes16(values)));
  }
  QF_INLINE __m256i Get(const std::byte* at, __m256i values) {
    const __m128i packed = X86::Bytes16(at);
    const __m256i numbers =
        _mm256_and_si256(_mm256_set_m128i(_mm_srli_epi16(packed, 4), packed), _mm256_set1_epi8(15));
    return _mm256_shuffle_epi8(values, numbers);
  }
};

// Halves of eight powers of two that lie `stride` bytes apart (HalvedE8M0); those behind `count`
// meet zeros.
QF_INLINE __m256 HalvedPowers(const std::byte* at, int stride, int count) {
  uint64_t bytes = 0;
  QF_UNROLL
  for (int j = 0; j < kSubBlocks; ++j)
    if (j < count) bytes |= uint64_t{Load<uint8_t>(at + j * stride)} << 8 * j;
  const __m256i e = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(static_cast<int64_t>(bytes)));
  const __m256i normal = _mm256_slli_epi32(_mm256_sub_epi32(e, _mm256_set1_epi32(1)), 23);
  const __m256i small = _mm256_sllv_epi32(_mm256_set1_epi32(0x00200000), e);
  return _mm256_castsi256_ps(
      _mm256_blendv_epi8(normal, small, _mm256_cmpgt_epi32(_mm256_set1_epi32(2), e)));
}

// IQ4_NL and MXFP4: a scale, F16 or of one byte, then the nibbles.
template <size_t kRow, bool kSigned>
struct Table32 : TableCodes<kRow, kSigned> {
  static constexpr bool kOf32 = true;
  static constexpr int kBytes = Table32::kInfo.block_bytes, kHeader = kBytes - 16;
  static constexpr int kUnitBytes = 8 * kBytes;
  QF_INLINE void Fill(const std::byte* at, int count, Unit& unit) {
    const __m256i values = Table32::Values();
    QF_UNROLL
    for (int j = 0; j < kSubBlocks; ++j)
      unit.codes[j] =
          j < count ? Table32::Get(at + kBytes * j + kHeader, values) : _mm256_setzero_si256();
    Table32::StoreScales(kHeader == 2 ? Halves(at, kBytes, count) : HalvedPowers(at, kBytes, count),
                         0, unit);
  }
};

// IQ4_XS: see pipeline/tensor/iq4.h for where the scales' bits lie.
template <size_t kRow, bool kSigned>
struct Table256 : TableCodes<kRow, kSigned> {
  static constexpr bool kOf32 = false;
  static constexpr int kUnitBytes = 136;
  QF_INLINE void Fill(const std::byte* at, int, Unit& unit) {
    const __m256i values = Table256::Values();
    QF_UNROLL
    for (int j = 0; j < kSubBlocks; ++j) unit.codes[j] = Table256::Get(at + 8 + 16 * j, values);
    const __m128i packed = _mm_cvtsi32_si128(Load<int32_t>(at + 4));
    const __m128i nibbles = _mm_unpacklo_epi8(packed, _mm_srli_epi16(packed, 4));
    const __m256i low = _mm256_and_si256(_mm256_cvtepu8_epi32(nibbles), _mm256_set1_epi32(15));
    const __m256i pairs = _mm256_srlv_epi32(_mm256_set1_epi32(Load<uint16_t>(at + 2)),
                                            _mm256_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14));
    const __m256i high = _mm256_slli_epi32(_mm256_and_si256(pairs, _mm256_set1_epi32(3)), 4);
    const __m256i scales = _mm256_sub_epi32(_mm256_or_si256(low, high), _mm256_set1_epi32(32));
    Table256::StoreScales(_mm256_mul_ps(_mm256_cvtepi32_ps(scales), _mm256_set1_ps(X86::Half(at))),
                          0, unit);
  }
};

// What the type's own codec unpacks: signed codes, a scale for each 16, no min. Its codes count
// from 0 up where products do not take them signed.
template <size_t kRow, bool kSigned>  // of kDTypes
struct UnpackedUnit : SignedCodes<pipeline::kDTypes[kRow].integer_products->largest_code, kSigned> {
  static constexpr bool kOf32 = false;
  static constexpr const pipeline::DTypeInfo& kInfo = pipeline::kDTypes[kRow];
  static constexpr int kGroup = 16, kUnitBytes = kInfo.block_bytes;
  QF_INLINE void Fill(const std::byte* at, int, Unit& unit) {
    pipeline::UnpackedBlock block;
    kInfo.codec->unpack(at, block);
    QF_UNROLL
    for (int j = 0; j < kSubBlocks; ++j)
      unit.codes[j] = UnpackedUnit::FromZero(
          _mm256_load_si256(reinterpret_cast<const __m256i*>(block.codes) + j));
    QF_UNROLL
    for (int i = 0; i < 16; i += 8)
      UnpackedUnit::StoreScales(_mm256_loadu_ps(block.scales + i), i, unit);
  }
};

// What a row has summed up so far.
struct RowSum {
  __m256 products[2];
  __m256 mins;
};

// Sums of four products of an unsigned with a signed byte, per 32-bit lane: the including file's
// own. The first codes are unsigned, but for those of 8 bits in sets that take them signed.
template <int kBits>
QF_INLINE __m256i DotBytes(__m256i codes, __m256i signed_codes);

// Adds the unit's product with the activations of its columns.
template <class B>
QF_INLINE void AddUnit(const Unit& unit, const ActivationRow& x, int64_t at, RowSum& sum) {
  alignas(32) float scales[16];
  const __m256 by = _mm256_loadu_ps(x.scales + at / 32);
  if constexpr (B::kGroup == 32) {
    _mm256_store_ps(scales, _mm256_mul_ps(_mm256_load_ps(unit.scales), by));
    if constexpr (B::kMins)
      sum.mins =
          _mm256_fmadd_ps(_mm256_load_ps(unit.mins), _mm256_loadu_ps(x.sums + at / 32), sum.mins);
  } else {
    // Each of the activations' scales serves two groups.
    const __m256 low = _mm256_unpacklo_ps(by, by), high = _mm256_unpackhi_ps(by, by);
    const __m256 first = _mm256_permute2f128_ps(low, high, 0x20),
                 second = _mm256_permute2f128_ps(low, high, 0x31);
    _mm256_store_ps(scales, _mm256_mul_ps(_mm256_load_ps(unit.scales), first));
    _mm256_store_ps(scales + 8, _mm256_mul_ps(_mm256_load_ps(unit.scales + 8), second));
    QF_UNROLL
    for (int i = 0; B::kMins && i < 16; i += 8) {
      sum.mins = _mm256_fmadd_ps(_mm256_load_ps(unit.mins + i),
                                 _mm256_loadu_ps(x.half_sums + at / 16 + i), sum.mins);
    }
  }
  QF_UNROLL
  for (int j = 0; j < kSubBlocks; ++j) {
    const __m256i codes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x.codes + at) + j);
    const __m256 dots = _mm256_cvtepi32_ps(DotBytes<B::kBits>(unit.codes[j], codes));
    const __m256 scale = B::kGroup == 32 ? _mm256_broadcast_ss(scales + j)
                                         : _mm256_set_m128(_mm_broadcast_ss(scales + 2 * j + 1),
                                                           _mm_broadcast_ss(scales + 2 * j));
    sum.products[j % 2] = _mm256_fmadd_ps(dots, scale, sum.products[j % 2]);
  }
}

// The row times each of a few rows of activations.
template <class B, int kTokens>
QF_INLINE void MultiplyRow(const std::byte* row, int64_t cols, const ActivationRow* x, float* y,
                           int64_t y_stride) {
  RowSum sums[kTokens];
  QF_UNROLL
  for (RowSum& sum : sums) sum = {{_mm256_setzero_ps(), _mm256_setzero_ps()}, _mm256_setzero_ps()};
  int64_t at = 0;
  Unit unit;
  for (; at + kActivationUnit <= cols; at += kActivationUnit, row += B::kUnitBytes) {
    X86::FetchAhead<B::kUnitBytes>(row);
    B::Fill(row, kSubBlocks, unit);
    QF_UNROLL
    for (int t = 0; t < kTokens; ++t) AddUnit<B>(unit, x[t], at, sums[t]);
  }
  if constexpr (B::kOf32) {
    if (at < cols) {
      B::Fill(row, static_cast<int>((cols - at) / kActivationBlock), unit);
      QF_UNROLL
      for (int t = 0; t < kTokens; ++t) AddUnit<B>(unit, x[t], at, sums[t]);
    }
  }
  QF_UNROLL
  for (int t = 0; t < kTokens; ++t)
    y[t * y_stride] = X86::SumOf(
        _mm256_sub_ps(_mm256_add_ps(sums[t].products[0], sums[t].products[1]), sums[t].mins));
}

template <class B, int kTokens>
QF_TARGET void MultiplySome(const std::byte* weights, int64_t row_bytes, int64_t rows, int64_t cols,
                            const ActivationRow* x, float* y, int64_t y_stride) {
  for (int64_t r = 0; r < rows; ++r)
    MultiplyRow<B, kTokens>(weights + r * row_bytes, cols, x, y + r, y_stride);
}

// Strips of rows stay in cache while the tokens pass by; a few tokens share the reading of a block.
template <class B>
QF_TARGET void MultiplyIntegersApart(const std::byte* weights, int64_t row_bytes, int64_t rows,
                                     int64_t cols, std::span<const ActivationRow> x, float* y,
                                     int64_t y_stride) {
  constexpr int64_t kStripOfRows = 16;
  const auto tokens = static_cast<int64_t>(x.size());
  for (int64_t r = 0; r < rows; r += kStripOfRows) {
    const std::byte* strip = weights + r * row_bytes;
    const int64_t height = std::min(kStripOfRows, rows - r);
    InGroups(std::integer_sequence<int, 4, 2, 1>(), tokens, [&]<int kTokens>(int64_t t) {
      MultiplySome<B, kTokens>(strip, row_bytes, height, cols, &x[static_cast<size_t>(t)],
                               y + r + t * y_stride, y_stride);
    });
  }
}

QF_INLINE int Total(__m128i lanes) {
  lanes = _mm_add_epi32(lanes, _mm_shuffle_epi32(lanes, 0x4e));
  return _mm_cvtsi128_si32(_mm_add_epi32(lanes, _mm_shuffle_epi32(lanes, 0xb1)));
}

QF_TARGET void QuantizeSimd(const float* x, int64_t n, int8_t* codes, float* scales, float* sums,
                            float* half_sums) {
  const int64_t blocks = (n + kActivationUnit - 1) / kActivationUnit * kSubBlocks;
  for (int64_t b = 0; b < blocks; ++b) {
    __m256 v[4];
    __m256 most = _mm256_setzero_ps();
    QF_UNROLL
    for (int i = 0; i < 4; ++i) {
      v[i] = b * 32 < n ? _mm256_loadu_ps(x + b * 32 + 8 * i) : _mm256_setzero_ps();
      most = _mm256_max_ps(_mm256_andnot_ps(_mm256_set1_ps(-0.f), v[i]), most);
    }
    __m128 m = _mm_max_ps(_mm256_castps256_ps128(most), _mm256_extractf128_ps(most, 1));
    m = _mm_max_ps(m, _mm_movehl_ps(m, m));
    const float largest = _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
    const __m256 inverse = _mm256_set1_ps(largest > 0 ? 127.f / largest : 0.f);
    __m256i q[4];
    const __m256i most_code = _mm256_set1_epi32(127), least_code = _mm256_set1_epi32(-127);
    QF_UNROLL
    for (int i = 0; i < 4; ++i) {
      q[i] = _mm256_cvtps_epi32(_mm256_mul_ps(v[i], inverse));
      q[i] = _mm256_max_epi32(_mm256_min_epi32(q[i], most_code), least_code);
    }
    const __m256i words01 = _mm256_packs_epi32(q[0], q[1]),
                  words23 = _mm256_packs_epi32(q[2], q[3]);
    // The packs work on halves of registers: put the groups of four back in order.
    const __m256i packed = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(words01, words23),
                                                       _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(codes + b * 32), packed);
    const __m256i pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(1), packed);
    const __m256i fours = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
    const int first = Total(_mm256_castsi256_si128(fours));
    const int second = Total(_mm256_extracti128_si256(fours, 1));
    scales[b] = largest / 127.f;
    half_sums[2 * b] = scales[b] * static_cast<float>(first);
    half_sums[2 * b + 1] = scales[b] * static_cast<float>(second);
    sums[b] = scales[b] * static_cast<float>(first + second);
  }
}

}  // namespace
}  // namespace quantfleet::engine
