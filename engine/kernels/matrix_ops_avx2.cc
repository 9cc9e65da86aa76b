// MatrixOps for x86 with AVX2. A single token goes row by row, as fast as memory gives the rows.
// For a batch, strips of 16 rows are decoded once into panels that lie column by column, so that a
// register holds one column (or four of bytes) of eight rows, and a few tokens' sums stay in
// registers.
#if defined(__x86_64__)

#define QF_TARGET __attribute__((target("avx2,fma,f16c")))
#include "engine/kernels/block_units-inl.h"
#include "engine/kernels/vector_ops.h"

namespace quantfleet::engine {
namespace {

using pipeline::DType;

// Sums of two products in 16 bits, which saturate. Codes of up to six bits keep clear of that;
// those of eight are signed and give their sign to the other factor, since 128 * 127 fits twice.
template <int kBits>
QF_INLINE __m256i DotPairs(__m256i codes, __m256i signed_codes) {
  if constexpr (kBits == 8)
    return _mm256_maddubs_epi16(_mm256_abs_epi8(codes), _mm256_sign_epi8(signed_codes, codes));
  else
    return _mm256_maddubs_epi16(codes, signed_codes);
}

QF_INLINE __m256i Widen(__m256i pairs) { return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)); }

template <int kBits>
QF_INLINE __m256i DotBytes(__m256i codes, __m256i signed_codes) {
  return Widen(DotPairs<kBits>(codes, signed_codes));
}

// Sums in the order of the source: otherwise the compiler makes all the products first, and keeps
// them in memory.
QF_INLINE void Keep(__m256i& sum) { asm("" : "+x"(sum)); }

// Below so many tokens a panel costs more than it saves.
constexpr int64_t kFewTokens = 4;
constexpr int kLanes = 8;
constexpr int kStrip = 2 * kLanes;  // rows of a panel

// Eight registers of eight lanes: lane j of register i and lane i of register j change places.
QF_INLINE void Transpose(__m256i* v) {
  __m256i a[8], b[8];
  QF_UNROLL
  for (int i = 0; i < 8; i += 2) {
    a[i] = _mm256_unpacklo_epi32(v[i], v[i + 1]);
    a[i + 1] = _mm256_unpackhi_epi32(v[i], v[i + 1]);
  }
  QF_UNROLL
  for (int i = 0; i < 8; i += 4) {
    b[i] = _mm256_unpacklo_epi64(a[i], a[i + 2]);
    b[i + 1] = _mm256_unpackhi_epi64(a[i], a[i + 2]);
    b[i + 2] = _mm256_unpacklo_epi64(a[i + 1], a[i + 3]);
    b[i + 3] = _mm256_unpackhi_epi64(a[i + 1], a[i + 3]);
  }
  QF_UNROLL
  for (int j = 0; j < 4; ++j) {
    v[j] = _mm256_permute2x128_si256(b[j], b[j + 4], 0x20);
    v[j + 4] = _mm256_permute2x128_si256(b[j], b[j + 4], 0x31);
  }
}

// The first `count` lanes, of which there may be more or fewer than eight.
QF_INLINE __m256i FirstLanes(int64_t count) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int32_t>(count)),
                            _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

// A column of a strip of which `rows` rows are there.
QF_INLINE void LoadColumn(const float* at, int64_t rows, __m256* halves) {
  QF_UNROLL
  for (int half = 0; half < 2; ++half)
    halves[half] = _mm256_maskload_ps(at + half * kLanes, FirstLanes(rows - half * kLanes));
}

QF_INLINE void StoreColumn(const __m256* halves, int64_t rows, float* at) {
  QF_UNROLL
  for (int half = 0; half < 2; ++half) {
    if (rows >= kStrip)
      _mm256_storeu_ps(at + half * kLanes, halves[half]);
    else
      _mm256_maskstore_ps(at + half * kLanes, FirstLanes(rows - half * kLanes), halves[half]);
  }
}

// A strip of rows of integers: per four columns two registers of the rows' codes, per group of
// columns two of their scales and two of their mins. Rows that are not there are zero.
struct Panel {
  std::vector<std::byte> codes;
  std::vector<float> scales, mins;
};

template <class B>
QF_TARGET void FillPanel(const std::byte* weights, int64_t row_bytes, int64_t rows, int64_t cols,
                         Panel& panel) {
  constexpr int kGroups = kActivationUnit / B::kGroup;
  alignas(32) std::byte codes[kStrip][kActivationUnit] = {};
  alignas(32) float scales[16][kStrip] = {}, mins[16][kStrip] = {};
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
    std::memcpy(panel.scales.data() + u * kGroups * kStrip, scales,
                sizeof(float) * kGroups * kStrip);
    std::memcpy(panel.mins.data() + u * kGroups * kStrip, mins, sizeof(float) * kGroups * kStrip);
    std::byte* out = panel.codes.data() + at * kStrip;
    for (int part = 0; part < kActivationUnit; part += 32, out += 32 * kStrip) {
      for (int half = 0; half < 2; ++half) {
        __m256i v[kLanes];
        QF_UNROLL
        for (int r = 0; r < kLanes; ++r) v[r] = Bytes(codes[half * kLanes + r] + part);
        Transpose(v);
        QF_UNROLL
        for (int i = 0; i < kLanes; ++i)
          _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + (2 * i + half) * 32), v[i]);
      }
    }
  }
}

template <class B, int kTokens>
QF_TARGET void MultiplyPanel(const Panel& panel, int64_t cols, const ActivationRow* x, int64_t rows,
                             float* y, int64_t y_stride) {
  // So many sums of pairs fit 16 bits together.
  constexpr int kMax = B::kBits == 8 ? 128 : (1 << B::kBits) - 1;
  constexpr int kRun = std::min(32767 / (2 * 127 * kMax), B::kGroup / 4);
  static_assert(B::kGroup / 4 % kRun == 0);
  __m256 sums[kTokens][2];
  QF_UNROLL
  for (auto& sum : sums) sum[0] = sum[1] = _mm256_setzero_ps();
  const std::byte* codes = panel.codes.data();
  const float *scales = panel.scales.data(), *mins = panel.mins.data();
  for (int64_t at = 0; at < cols; at += B::kGroup, scales += kStrip, mins += kStrip) {
    __m256i dots[kTokens][2];
    QF_UNROLL
    for (int i = 0; i < B::kGroup / 4; i += kRun) {
      __m256i pairs[kTokens][2];
      QF_UNROLL
      for (int j = 0; j < kRun; ++j, codes += 64) {
        const __m256i weights[2] = {Bytes(codes), Bytes(codes + 32)};
        QF_UNROLL
        for (int t = 0; t < kTokens; ++t) {
          const auto* four = reinterpret_cast<const std::byte*>(x[t].codes + at + 4 * (i + j));
          const __m256i activations = _mm256_set1_epi32(Load<int32_t>(four));
          QF_UNROLL
          for (int half = 0; half < 2; ++half) {
            const __m256i some = DotPairs<B::kBits>(weights[half], activations);
            pairs[t][half] = j == 0 ? some : _mm256_add_epi16(pairs[t][half], some);
            Keep(pairs[t][half]);
          }
        }
      }
      QF_UNROLL
      for (int t = 0; t < kTokens; ++t) {
        QF_UNROLL
        for (int half = 0; half < 2; ++half)
          dots[t][half] = i == 0 ? Widen(pairs[t][half])
                                 : _mm256_add_epi32(dots[t][half], Widen(pairs[t][half]));
      }
    }
    QF_UNROLL
    for (int half = 0; half < 2; ++half) {
      const __m256 scale = _mm256_loadu_ps(scales + half * kLanes);
      QF_UNROLL
      for (int t = 0; t < kTokens; ++t) {
        const __m256 scaled = _mm256_mul_ps(_mm256_cvtepi32_ps(dots[t][half]), scale);
        sums[t][half] =
            _mm256_fmadd_ps(scaled, _mm256_set1_ps(x[t].scales[at / 32]), sums[t][half]);
        if constexpr (B::kMins) {
          const float total = B::kGroup == 32 ? x[t].sums[at / 32] : x[t].half_sums[at / 16];
          const __m256 min = _mm256_loadu_ps(mins + half * kLanes);
          sums[t][half] = _mm256_fnmadd_ps(min, _mm256_set1_ps(total), sums[t][half]);
        }
      }
    }
  }
  QF_UNROLL
  for (int t = 0; t < kTokens; ++t) StoreColumn(sums[t], rows, y + t * y_stride);
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
  panel.codes.resize(static_cast<size_t>(units * kActivationUnit * kStrip));
  panel.scales.resize(static_cast<size_t>(units * (kActivationUnit / B::kGroup) * kStrip));
  panel.mins.resize(panel.scales.size());
  for (int64_t r = 0; r < rows; r += kStrip) {
    const int64_t height = std::min<int64_t>(kStrip, rows - r);
    FillPanel<B>(weights + r * row_bytes, row_bytes, height, cols, panel);
    int64_t t = 0;
    float* out = y + r;
    for (; t + 4 <= tokens; t += 4)
      MultiplyPanel<B, 4>(panel, cols, &x[t], height, out + t * y_stride, y_stride);
    for (; t < tokens; ++t)
      MultiplyPanel<B, 1>(panel, cols, &x[t], height, out + t * y_stride, y_stride);
  }
}

constexpr int64_t kPanelColumns = 256;  // 16 KiB

// Columns of a strip, as floats: 16 rows' values per column.
QF_TARGET void FillFloatPanel(RowDecode decode, const std::byte* weights, int64_t row_bytes,
                              int64_t rows, int64_t cols, float* panel) {
  alignas(32) float values[kStrip][kPanelColumns];
  for (int64_t r = 0; r < kStrip; ++r) {
    if (r < rows) decode(weights + r * row_bytes, cols, values[r]);
    // Nothing, up to a whole register behind the columns.
    const int64_t there = r < rows ? cols : 0;
    std::fill(values[r] + there, values[r] + (cols + kLanes - 1) / kLanes * kLanes, 0.f);
  }
  for (int64_t at = 0; at < cols; at += kLanes, panel += kLanes * kStrip) {
    for (int half = 0; half < 2; ++half) {
      __m256i v[kLanes];
      QF_UNROLL
      for (int r = 0; r < kLanes; ++r)
        v[r] = _mm256_load_si256(reinterpret_cast<const __m256i*>(values[half * kLanes + r] + at));
      Transpose(v);
      QF_UNROLL
      for (int i = 0; i < kLanes; ++i)
        _mm256_storeu_ps(panel + i * kStrip + half * kLanes, _mm256_castsi256_ps(v[i]));
    }
  }
}

template <int kTokens>
QF_TARGET void MultiplyFloatPanel(const float* panel, int64_t begin, int64_t end,
                                  const ActivationRow* x, int64_t rows, float* y,
                                  int64_t y_stride) {
  __m256 sums[kTokens][2];
  QF_UNROLL
  for (int t = 0; t < kTokens; ++t) {
    if (begin == 0)
      sums[t][0] = sums[t][1] = _mm256_setzero_ps();
    else
      LoadColumn(y + t * y_stride, rows, sums[t]);
  }
  for (int64_t at = begin; at < end; ++at, panel += kStrip) {
    const __m256 first = _mm256_loadu_ps(panel), second = _mm256_loadu_ps(panel + kLanes);
    QF_UNROLL
    for (int t = 0; t < kTokens; ++t) {
      const __m256 value = _mm256_broadcast_ss(x[t].values + at);
      sums[t][0] = _mm256_fmadd_ps(first, value, sums[t][0]);
      sums[t][1] = _mm256_fmadd_ps(second, value, sums[t][1]);
    }
  }
  QF_UNROLL
  for (int t = 0; t < kTokens; ++t) StoreColumn(sums[t], rows, y + t * y_stride);
}

template <DType kType>
QF_TARGET void MultiplyFloatsApart(const std::byte* weights, int64_t row_bytes, int64_t rows,
                                   int64_t cols, std::span<const ActivationRow> x, float* y,
                                   int64_t y_stride) {
  const RowDot dot = Avx2Ops().row_dot(kType);
  for (int64_t r = 0; r < rows; ++r) {
    for (size_t t = 0; t < x.size(); ++t)
      y[static_cast<int64_t>(t) * y_stride + r] = dot(weights + r * row_bytes, x[t].values, cols);
  }
}

template <DType kType>
QF_TARGET void MultiplyFloats(const std::byte* weights, int64_t row_bytes, int64_t rows,
                              int64_t cols, std::span<const ActivationRow> x, float* y,
                              int64_t y_stride) {
  const auto tokens = static_cast<int64_t>(x.size());
  if (tokens < kFewTokens)
    return MultiplyFloatsApart<kType>(weights, row_bytes, rows, cols, x, y, y_stride);
  const RowDecode decode = Avx2Ops().row_decode(kType);
  alignas(32) float panel[kPanelColumns * kStrip];
  for (int64_t r = 0; r < rows; r += kStrip) {
    const int64_t height = std::min<int64_t>(kStrip, rows - r);
    float* out = y + r;
    for (int64_t begin = 0; begin < cols; begin += kPanelColumns) {
      const int64_t end = std::min(cols, begin + kPanelColumns);
      FillFloatPanel(decode, weights + r * row_bytes + RowBytes(kType, begin), row_bytes, height,
                     end - begin, panel);
      int64_t t = 0;
      for (; t + 6 <= tokens; t += 6)
        MultiplyFloatPanel<6>(panel, begin, end, &x[t], height, out + t * y_stride, y_stride);
      for (; t + 2 <= tokens; t += 2)
        MultiplyFloatPanel<2>(panel, begin, end, &x[t], height, out + t * y_stride, y_stride);
      for (; t < tokens; ++t)
        MultiplyFloatPanel<1>(panel, begin, end, &x[t], height, out + t * y_stride, y_stride);
    }
  }
}

struct Set {
  static constexpr bool kSigned = true;
  template <class B>
  static constexpr Pair kIntegers = {MultiplyIntegers<B>, MultiplyIntegersApart<B>};
  template <DType kType>
  static constexpr Pair kFloats = {MultiplyFloats<kType>, MultiplyFloatsApart<kType>};
};

MultiplyRows FindMultiply(DType type) { return Find<Set>(type).together; }
MultiplyRows FindMultiplyApart(DType type) { return Find<Set>(type).apart; }

}  // namespace

const MatrixOps& Avx2MatrixOps() {
  static constexpr MatrixOps kOps = {"AVX2", QuantizeSimd, FindMultiply, FindMultiplyApart};
  return kOps;
}

}  // namespace quantfleet::engine

#endif
