// MatrixOps for x86 with AVX-512 and VNNI. A single token goes row by row, as fast as memory gives
// the rows. For a batch, strips of rows are decoded once into panels that lie column by column, so
// that a register holds one column (or four of bytes) of 16 rows, and every token's sums stay in
// registers from one end to the other.
#if defined(__x86_64__)

#if defined(__GNUC__) && !defined(__clang__)
// g++ 12's own AVX-512 headers begin results with a variable that is nothing yet.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#define QF_TARGET \
  __attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")))

#include "engine/kernels/block_units-inl.h"
#include "pipeline/tensor/half.h"

namespace quantfleet::engine {
namespace {

using pipeline::DType;

template <int>
QF_INLINE __m256i DotBytes(__m256i unsigned_codes, __m256i signed_codes) {
  return _mm256_dpbusd_epi32(_mm256_setzero_si256(), unsigned_codes, signed_codes);
}

// Below so many tokens a panel costs more than it saves.
constexpr int64_t kFewTokens = 4;
constexpr int kLanes = 16;

// 16 registers of 16 lanes: lane j of register i and lane i of register j change places.
QF_INLINE void Transpose(__m512i* v) {
  __m512i a[16], b[16];
  QF_UNROLL
  for (int i = 0; i < 16; i += 2) {
    a[i] = _mm512_unpacklo_epi32(v[i], v[i + 1]);
    a[i + 1] = _mm512_unpackhi_epi32(v[i], v[i + 1]);
  }
  QF_UNROLL
  for (int i = 0; i < 16; i += 4) {
    b[i] = _mm512_unpacklo_epi64(a[i], a[i + 2]);
    b[i + 1] = _mm512_unpackhi_epi64(a[i], a[i + 2]);
    b[i + 2] = _mm512_unpacklo_epi64(a[i + 1], a[i + 3]);
    b[i + 3] = _mm512_unpackhi_epi64(a[i + 1], a[i + 3]);
  }
  QF_UNROLL
  for (int i = 0; i < 16; i += 8) {
    QF_UNROLL
    for (int j = 0; j < 4; ++j) {
      a[i + j] = _mm512_shuffle_i32x4(b[i + j], b[i + j + 4], 0x88);
      a[i + j + 4] = _mm512_shuffle_i32x4(b[i + j], b[i + j + 4], 0xdd);
    }
  }
  QF_UNROLL
  for (int j = 0; j < 8; ++j) {
    v[j] = _mm512_shuffle_i32x4(a[j], a[j + 8], 0x88);
    v[j + 8] = _mm512_shuffle_i32x4(a[j], a[j + 8], 0xdd);
  }
}

// A strip of 16 rows of integers: per four columns a register of the rows' codes, per group of
// columns one of their scales and one of their mins. Rows that are not there are zero.
struct Panel {
  std::vector<std::byte> codes;
  std::vector<float> scales, mins;
};

template <class B>
QF_TARGET void FillPanel(const std::byte* weights, int64_t row_bytes, int64_t rows, int64_t cols,
                         Panel& panel) {
  constexpr int kGroups = kActivationUnit / B::kGroup;
  alignas(64) std::byte codes[kLanes][kActivationUnit] = {};
  alignas(64) float scales[16][kLanes] = {}, mins[16][kLanes] = {};
  for (int64_t at = 0, u = 0; at < cols; at += kActivationUnit, ++u) {
    const int count = static_cast<int>(std::min(kActivationUnit, cols - at) / kActivationBlock);
    for (int64_t r = 0; r < rows; ++r) {
      Unit unit;
      const std::byte* row = weights + r * row_bytes + u * B::kUnitBytes;
      if (count == kSubBlocks)
        B::Fill(row, kSubBlocks, unit);  // a constant: nothing to ask per sub-block
      else
        B::Fill(row, count, unit);
      std::memcpy(codes[r], unit.codes, sizeof unit.codes);
      for (int g = 0; g < kGroups; ++g) scales[g][r] = unit.scales[g], mins[g][r] = unit.mins[g];
    }
    std::memcpy(panel.scales.data() + u * kGroups * kLanes, scales,
                sizeof(float) * kGroups * kLanes);
    std::memcpy(panel.mins.data() + u * kGroups * kLanes, mins, sizeof(float) * kGroups * kLanes);
    std::byte* out = panel.codes.data() + at * kLanes;
    for (int part = 0; part < kActivationUnit; part += 64, out += 64 * kLanes) {
      __m512i v[16];
      QF_UNROLL
      for (int r = 0; r < kLanes; ++r) v[r] = _mm512_load_si512(codes[r] + part);
      Transpose(v);
      QF_UNROLL
      for (int i = 0; i < 16; ++i) _mm512_storeu_si512(out + 64 * i, v[i]);
    }
  }
}

template <int kGroup, int kTokens>
QF_TARGET void MultiplyPanel(const Panel& panel, int64_t cols, const ActivationRow* x,
                             __mmask16 rows, float* y, int64_t y_stride) {
  __m512 sums[kTokens];
  QF_UNROLL
  for (__m512& sum : sums) sum = _mm512_setzero_ps();
  const std::byte* codes = panel.codes.data();
  const float *scales = panel.scales.data(), *mins = panel.mins.data();
  for (int64_t at = 0; at < cols; at += kGroup, scales += kLanes, mins += kLanes) {
    __m512i dots[kTokens];
    QF_UNROLL
    for (__m512i& dot : dots) dot = _mm512_setzero_si512();
    QF_UNROLL
    for (int i = 0; i < kGroup; i += 4, codes += 64) {
      const __m512i weights = _mm512_loadu_si512(codes);
      QF_UNROLL
      for (int t = 0; t < kTokens; ++t) {
        const __m512i four = _mm512_set1_epi32(
            Load<int32_t>(reinterpret_cast<const std::byte*>(x[t].codes + at + i)));
        dots[t] = _mm512_dpbusd_epi32(dots[t], weights, four);
      }
    }
    const __m512 scale = _mm512_loadu_ps(scales), min = _mm512_loadu_ps(mins);
    QF_UNROLL
    for (int t = 0; t < kTokens; ++t) {
      const float total = kGroup == 32 ? x[t].sums[at / 32] : x[t].half_sums[at / 16];
      const __m512 scaled = _mm512_mul_ps(_mm512_cvtepi32_ps(dots[t]), scale);
      sums[t] = _mm512_fmadd_ps(scaled, _mm512_set1_ps(x[t].scales[at / 32]), sums[t]);
      sums[t] = _mm512_fnmadd_ps(min, _mm512_set1_ps(total), sums[t]);
    }
  }
  QF_UNROLL
  for (int t = 0; t < kTokens; ++t) _mm512_mask_storeu_ps(y + t * y_stride, rows, sums[t]);
}

template <class B>
QF_TARGET void MultiplyIntegers(const std::byte* weights, int64_t row_bytes, int64_t rows,
                                int64_t cols, std::span<const ActivationRow> x, float* y,
                                int64_t y_stride) {
  const auto tokens = static_cast<int64_t>(x.size());
  if (tokens < kFewTokens)
    return MultiplyIntegersApart<B>(weights, row_bytes, rows, cols, x, y, y_stride);
  const int64_t units = (cols + kActivationUnit - 1) / kActivationUnit;
  Panel panel;
  panel.codes.resize(static_cast<size_t>(units * kActivationUnit * kLanes));
  panel.scales.resize(static_cast<size_t>(units * (kActivationUnit / B::kGroup) * kLanes));
  panel.mins.resize(panel.scales.size());
  for (int64_t r = 0; r < rows; r += kLanes) {
    const int64_t height = std::min<int64_t>(kLanes, rows - r);
    FillPanel<B>(weights + r * row_bytes, row_bytes, height, cols, panel);
    const auto mask = static_cast<__mmask16>((1u << height) - 1);
    int64_t t = 0;
    float* out = y + r;
    for (; t + 8 <= tokens; t += 8)
      MultiplyPanel<B::kGroup, 8>(panel, cols, &x[t], mask, out + t * y_stride, y_stride);
    for (; t + 4 <= tokens; t += 4)
      MultiplyPanel<B::kGroup, 4>(panel, cols, &x[t], mask, out + t * y_stride, y_stride);
    for (; t < tokens; ++t)
      MultiplyPanel<B::kGroup, 1>(panel, cols, &x[t], mask, out + t * y_stride, y_stride);
  }
}

// Floats: how 16 of them come out of their bytes, some of them at the end of a row.
struct F32 {
  static constexpr int64_t kBytes = 4;
  QF_INLINE __m512 Load16(const std::byte* at) { return _mm512_loadu_ps(at); }
  QF_INLINE __m512 LoadSome(const std::byte* at, __mmask16 some) {
    return _mm512_maskz_loadu_ps(some, at);
  }
};

struct F16 {
  static constexpr int64_t kBytes = 2;
  QF_INLINE __m512 Load16(const std::byte* at) { return _mm512_cvtph_ps(Bytes(at)); }
  QF_INLINE __m512 LoadSome(const std::byte* at, __mmask16 some) {
    return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(some, at));
  }
};

struct BF16 {
  static constexpr int64_t kBytes = 2;
  QF_INLINE __m512 Widen(__m256i bits) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
  }
  QF_INLINE __m512 Load16(const std::byte* at) { return Widen(Bytes(at)); }
  QF_INLINE __m512 LoadSome(const std::byte* at, __mmask16 some) {
    return Widen(_mm256_maskz_loadu_epi16(some, at));
  }
};

template <class Float>
QF_TARGET float DotFloats(const std::byte* row, const float* x, int64_t cols) {
  __m512 sums[4];
  QF_UNROLL
  for (__m512& sum : sums) sum = _mm512_setzero_ps();
  int64_t at = 0;
  for (; at + 64 <= cols; at += 64) {
    QF_UNROLL
    for (int i = 0; i < 4; ++i)
      sums[i] = _mm512_fmadd_ps(Float::Load16(row + (at + 16 * i) * Float::kBytes),
                                _mm512_loadu_ps(x + at + 16 * i), sums[i]);
  }
  for (; at < cols; at += 16) {
    const auto some = static_cast<__mmask16>(cols - at < 16 ? (1u << (cols - at)) - 1 : 0xffff);
    sums[0] = _mm512_fmadd_ps(Float::LoadSome(row + at * Float::kBytes, some),
                              _mm512_maskz_loadu_ps(some, x + at), sums[0]);
  }
  return _mm512_reduce_add_ps(
      _mm512_add_ps(_mm512_add_ps(sums[0], sums[1]), _mm512_add_ps(sums[2], sums[3])));
}

constexpr int kStrip = 2 * kLanes;      // rows of a panel of floats
constexpr int64_t kPanelColumns = 512;  // 64 KiB, beside the tokens' share of the second cache

// Columns [begin, end) of a strip: 32 rows' values per column.
template <class Float>
QF_TARGET void FillFloatPanel(const std::byte* weights, int64_t row_bytes, int64_t rows,
                              int64_t begin, int64_t end, float* panel) {
  for (int64_t at = begin; at < end; at += 16, panel += 16 * kStrip) {
    const auto some = static_cast<__mmask16>(end - at < 16 ? (1u << (end - at)) - 1 : 0xffff);
    for (int half = 0; half < 2; ++half) {
      __m512i v[16];
      QF_UNROLL
      for (int r = 0; r < kLanes; ++r) {
        const int64_t row = half * kLanes + r;
        v[r] = row < rows ? _mm512_castps_si512(Float::LoadSome(
                                weights + row * row_bytes + at * Float::kBytes, some))
                          : _mm512_setzero_si512();
      }
      Transpose(v);
      QF_UNROLL
      for (int i = 0; i < 16; ++i) _mm512_storeu_si512(panel + i * kStrip + half * kLanes, v[i]);
    }
  }
}

template <int kTokens>
QF_TARGET void MultiplyFloatPanel(const float* panel, int64_t begin, int64_t end,
                                  const ActivationRow* x, __mmask32 rows, float* y,
                                  int64_t y_stride) {
  const auto low = static_cast<__mmask16>(rows), high = static_cast<__mmask16>(rows >> 16);
  __m512 first[kTokens], second[kTokens];
  QF_UNROLL
  for (int t = 0; t < kTokens; ++t) {
    first[t] = begin == 0 ? _mm512_setzero_ps() : _mm512_maskz_loadu_ps(low, y + t * y_stride);
    second[t] =
        begin == 0 ? _mm512_setzero_ps() : _mm512_maskz_loadu_ps(high, y + t * y_stride + kLanes);
  }
  for (int64_t at = begin; at < end; ++at, panel += kStrip) {
    const __m512 a = _mm512_loadu_ps(panel), b = _mm512_loadu_ps(panel + kLanes);
    QF_UNROLL
    for (int t = 0; t < kTokens; ++t) {
      const __m512 value = _mm512_set1_ps(x[t].values[at]);
      first[t] = _mm512_fmadd_ps(a, value, first[t]);
      second[t] = _mm512_fmadd_ps(b, value, second[t]);
    }
  }
  QF_UNROLL
  for (int t = 0; t < kTokens; ++t) {
    _mm512_mask_storeu_ps(y + t * y_stride, low, first[t]);
    _mm512_mask_storeu_ps(y + t * y_stride + kLanes, high, second[t]);
  }
}

template <class Float>
QF_TARGET void MultiplyFloatsApart(const std::byte* weights, int64_t row_bytes, int64_t rows,
                                   int64_t cols, std::span<const ActivationRow> x, float* y,
                                   int64_t y_stride) {
  for (int64_t r = 0; r < rows; ++r) {
    for (size_t t = 0; t < x.size(); ++t)
      y[static_cast<int64_t>(t) * y_stride + r] =
          DotFloats<Float>(weights + r * row_bytes, x[t].values, cols);
  }
}

template <class Float>
QF_TARGET void MultiplyFloats(const std::byte* weights, int64_t row_bytes, int64_t rows,
                              int64_t cols, std::span<const ActivationRow> x, float* y,
                              int64_t y_stride) {
  const auto tokens = static_cast<int64_t>(x.size());
  if (tokens < kFewTokens)
    return MultiplyFloatsApart<Float>(weights, row_bytes, rows, cols, x, y, y_stride);
  std::vector<float> panel(
      static_cast<size_t>((std::min(cols, kPanelColumns) + 15) / 16 * 16 * kStrip));
  for (int64_t r = 0; r < rows; r += kStrip) {
    const int64_t height = std::min<int64_t>(kStrip, rows - r);
    const auto mask = static_cast<__mmask32>((uint64_t{1} << height) - 1);
    for (int64_t begin = 0; begin < cols; begin += kPanelColumns) {
      const int64_t end = std::min(cols, begin + kPanelColumns);
      FillFloatPanel<Float>(weights + r * row_bytes, row_bytes, height, begin, end, panel.data());
      int64_t t = 0;
      float* out = y + r;
      for (; t + 12 <= tokens; t += 12)
        MultiplyFloatPanel<12>(panel.data(), begin, end, &x[t], mask, out + t * y_stride, y_stride);
      for (; t + 4 <= tokens; t += 4)
        MultiplyFloatPanel<4>(panel.data(), begin, end, &x[t], mask, out + t * y_stride, y_stride);
      for (; t < tokens; ++t)
        MultiplyFloatPanel<1>(panel.data(), begin, end, &x[t], mask, out + t * y_stride, y_stride);
    }
  }
}

template <DType kType>
using FloatOf = std::conditional_t<kType == DType::kF32, F32,
                                   std::conditional_t<kType == DType::kF16, F16, BF16>>;

struct Set {
  static constexpr bool kSigned = false;
  template <class B>
  static constexpr Pair kIntegers = {MultiplyIntegers<B>, MultiplyIntegersApart<B>};
  template <DType kType>
  static constexpr Pair kFloats = {MultiplyFloats<FloatOf<kType>>,
                                   MultiplyFloatsApart<FloatOf<kType>>};
};

MultiplyRows FindMultiply(DType type) { return Find<Set>(type).together; }
MultiplyRows FindMultiplyApart(DType type) { return Find<Set>(type).apart; }

}  // namespace

const MatrixOps& Avx512MatrixOps() {
  static constexpr MatrixOps kOps = {"AVX-512 VNNI", QuantizeSimd, FindMultiply, FindMultiplyApart};
  return kOps;
}

}  // namespace quantfleet::engine

#endif
