// MatrixOps by panels, for registers of any width (registers.h). A few tokens go row by row, as
// fast as memory gives the rows. For a batch, strips of rows are decoded once into panels that lie
// column by column, so that a register holds one column (or four of bytes) of kLanes rows, and some
// tokens' sums stay in registers from one end to the other. Included by a file that defines
// QF_TARGET and describes its registers; private to it.
#pragma once

#include <algorithm>
#include <cstring>
#include <new>

#include "engine/kernels/block_table.h"
#include "engine/kernels/block_units-inl.h"
#include "engine/kernels/in_groups.h"
#include "engine/kernels/vector_kernels-inl.h"

namespace quantfleet::engine {
namespace {

// Below so many tokens a panel costs more than it saves.
constexpr int64_t kFewTokens = 4;

// Room that begins with a cache line, so that no register's share lies on two.
template <class T>
class LineAligned {
 public:
  explicit LineAligned(int64_t count)
      : at_(static_cast<T*>(
            ::operator new(static_cast<size_t>(count) * sizeof(T), std::align_val_t(64)))) {}
  LineAligned(const LineAligned&) = delete;
  LineAligned& operator=(const LineAligned&) = delete;
  ~LineAligned() { ::operator delete(at_, std::align_val_t(64)); }

  T* data() const { return at_; }

 private:
  T* const at_;
};

// A strip of rows of integers: per four columns kPanelRegs registers of the rows' codes, per group
// of columns as many of their scales and of their mins. Rows that are not there are zero.
template <class V>
struct Panel {
  static constexpr int64_t kRegBytes = 4 * V::kLanes;
  static constexpr int64_t kStrip = V::kPanelRegs * V::kLanes;  // rows

  // For rows of whole units of so many columns together, with `groups` scales each.
  Panel(int64_t columns, int64_t groups)
      : codes(columns * kStrip), scales(groups * kStrip), mins(groups * kStrip) {}

  LineAligned<std::byte> codes;
  LineAligned<float> scales, mins;
};

template <class V, class B>
QF_TARGET void FillPanel(const std::byte* weights, int64_t row_bytes, int64_t rows, int64_t cols,
                         Panel<V>& panel) {
  constexpr int64_t kStrip = Panel<V>::kStrip, kRegBytes = Panel<V>::kRegBytes;
  constexpr int kGroups = kActivationUnit / B::kGroup;
  alignas(64) std::byte codes[kStrip][kActivationUnit] = {};
  alignas(64) float scales[16][kStrip] = {}, mins[16][kStrip] = {};
  for (int64_t at = 0, u = 0; at < cols; at += kActivationUnit, ++u) {
    const int count = static_cast<int>(std::min(kActivationUnit, cols - at) / kActivationBlock);
    for (int64_t r = 0; r < rows; ++r) {
      Unit unit;
      const std::byte* row = weights + r * row_bytes + u * B::kUnitBytes;
      if (!B::kOf32 || count == kSubBlocks)
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
    for (int64_t part = 0; part < kActivationUnit; part += kRegBytes, out += kRegBytes * kStrip) {
      for (int reg = 0; reg < V::kPanelRegs; ++reg) {
        typename V::Ints v[V::kLanes];
        QF_UNROLL
        for (int r = 0; r < V::kLanes; ++r) v[r] = V::LoadInts(codes[reg * V::kLanes + r] + part);
        V::Transpose(v);
        QF_UNROLL
        for (int i = 0; i < V::kLanes; ++i)
          V::StoreInts(v[i], out + (V::kPanelRegs * i + reg) * kRegBytes);
      }
    }
  }
}

template <class V, class Products, int kGroup, bool kMins, int kTokens>
QF_TARGET void MultiplyPanel(const Panel<V>& panel, int64_t cols, const ActivationRow* x,
                             int64_t rows, float* y, int64_t y_stride) {
  constexpr int kRegs = V::kPanelRegs, kFours = kGroup / 4;
  constexpr int kRun = std::min(Products::kRun, kFours);
  static_assert(kFours % kRun == 0);
  typename V::Reg sums[kTokens][kRegs];
  QF_UNROLL
  for (int t = 0; t < kTokens; ++t) {
    QF_UNROLL
    for (int reg = 0; reg < kRegs; ++reg) sums[t][reg] = V::Set(0);
  }
  const std::byte* codes = panel.codes.data();
  const float *scales = panel.scales.data(), *mins = panel.mins.data();
  for (int64_t at = 0; at < cols;
       at += kGroup, scales += Panel<V>::kStrip, mins += Panel<V>::kStrip) {
    typename V::Ints dots[kTokens][kRegs];
    QF_UNROLL
    for (int i = 0; i < kFours; i += kRun) {
      typename V::Ints run[kTokens][kRegs];
      QF_UNROLL
      for (int j = 0; j < kRun; ++j) {
        typename V::Ints weights[kRegs];
        QF_UNROLL
        for (int reg = 0; reg < kRegs; ++reg, codes += Panel<V>::kRegBytes)
          weights[reg] = V::LoadInts(codes);
        QF_UNROLL
        for (int t = 0; t < kTokens; ++t) {
          const typename V::Ints four = V::SetFour(x[t].codes + at + 4 * (i + j));
          QF_UNROLL
          for (int reg = 0; reg < kRegs; ++reg) {
            run[t][reg] = j == 0 ? Products::Of(weights[reg], four)
                                 : Products::Add(run[t][reg], weights[reg], four);
            Products::Keep(run[t][reg]);
          }
        }
      }
      QF_UNROLL
      for (int t = 0; t < kTokens; ++t) {
        QF_UNROLL
        for (int reg = 0; reg < kRegs; ++reg) {
          const typename V::Ints some = Products::Widen(run[t][reg]);
          dots[t][reg] = i == 0 ? some : V::AddInts(dots[t][reg], some);
          Products::Keep(dots[t][reg]);
        }
      }
    }
    QF_UNROLL
    for (int reg = 0; reg < kRegs; ++reg) {
      const typename V::Reg scale = V::Load(scales + reg * V::kLanes);
      QF_UNROLL
      for (int t = 0; t < kTokens; ++t) {
        const typename V::Reg scaled = V::Mul(V::ToFloats(dots[t][reg]), scale);
        sums[t][reg] = V::Fma(scaled, V::Set(x[t].scales[at / 32]), sums[t][reg]);
        if constexpr (kMins) {
          const float total = kGroup == 32 ? x[t].sums[at / 32] : x[t].half_sums[at / 16];
          const typename V::Reg min = V::Load(mins + reg * V::kLanes);
          sums[t][reg] = V::Fnma(min, V::Set(total), sums[t][reg]);
        }
      }
    }
  }
  QF_UNROLL
  for (int t = 0; t < kTokens; ++t) {
    QF_UNROLL
    for (int reg = 0; reg < kRegs; ++reg)
      V::StoreSome(sums[t][reg], y + t * y_stride + reg * V::kLanes, rows - reg * V::kLanes);
  }
}

template <class V, class B>
QF_TARGET void MultiplyIntegers(const std::byte* weights, int64_t row_bytes, int64_t rows,
                                int64_t cols, std::span<const ActivationRow> x, float* y,
                                int64_t y_stride) {
  const auto tokens = static_cast<int64_t>(x.size());
  if (tokens < kFewTokens)
    return MultiplyIntegersApart<B>(weights, row_bytes, rows, cols, x, y, y_stride);
  constexpr int64_t kStrip = Panel<V>::kStrip;
  const int64_t units = (cols + kActivationUnit - 1) / kActivationUnit;
  Panel<V> panel(units * kActivationUnit, units * (kActivationUnit / B::kGroup));
  for (int64_t r = 0; r < rows; r += kStrip) {
    const int64_t height = std::min(kStrip, rows - r);
    FillPanel<V, B>(weights + r * row_bytes, row_bytes, height, cols, panel);
    InGroups(typename V::IntegerTokens(), tokens, [&]<int kTokens>(int64_t t) {
      using Products = typename V::template Products<B::kBits>;
      MultiplyPanel<V, Products, B::kGroup, B::kMins, kTokens>(
          panel, cols, &x[static_cast<size_t>(t)], height, y + r + t * y_stride, y_stride);
    });
  }
}

// Registers of a column of a panel of floats.
constexpr int kFloatRegs = 2;
template <class V>
inline constexpr int64_t kFloatStrip = kFloatRegs * V::kLanes;

// Columns [begin, end) of a strip: all rows' values per column. A row is read a cache line at a
// time: rows lie so that their lines push each other out.
template <class V, class Number>
QF_TARGET void FillFloatPanel(const std::byte* weights, int64_t row_bytes, int64_t rows,
                              int64_t begin, int64_t end, float* panel) {
  constexpr int64_t kLanes = V::kLanes, kStrip = kFloatStrip<V>,
                    kLine = Number::kBytes == 4 ? 16 : 64;
  alignas(64) float values[kStrip][kLine] = {};
  for (int64_t at = begin; at < end; at += kLine) {
    const int64_t columns = std::min(kLine, end - at);
    for (int64_t r = 0; r < rows; ++r) {
      const std::byte* line = weights + r * row_bytes + at * Number::kBytes;
      if (columns == kLine) {
        QF_UNROLL
        for (int64_t i = 0; i < kLine; i += kLanes)
          V::Store(Number::Get(line + i * Number::kBytes), values[r] + i);
      } else {
        for (int64_t i = 0; i < columns; i += kLanes)
          V::Store(Number::Some(line + i * Number::kBytes, columns - i), values[r] + i);
      }
    }
    for (int64_t i = 0; i < columns; i += kLanes, panel += kLanes * kStrip) {
      for (int reg = 0; reg < kFloatRegs; ++reg) {
        typename V::Ints v[kLanes];
        QF_UNROLL
        for (int r = 0; r < kLanes; ++r) v[r] = V::LoadInts(values[reg * kLanes + r] + i);
        V::Transpose(v);
        QF_UNROLL
        for (int c = 0; c < kLanes; ++c) V::StoreInts(v[c], panel + c * kStrip + reg * kLanes);
      }
    }
  }
}

template <class V, int kTokens>
QF_TARGET void MultiplyFloatPanel(const float* panel, int64_t begin, int64_t end,
                                  const ActivationRow* x, int64_t rows, float* y,
                                  int64_t y_stride) {
  constexpr int64_t kLanes = V::kLanes;
  typename V::Reg first[kTokens], second[kTokens];
  QF_UNROLL
  for (int t = 0; t < kTokens; ++t) {
    first[t] = begin == 0 ? V::Set(0) : V::LoadSome(y + t * y_stride, rows);
    second[t] = begin == 0 ? V::Set(0) : V::LoadSome(y + t * y_stride + kLanes, rows - kLanes);
  }
  for (int64_t at = begin; at < end; ++at, panel += kFloatStrip<V>) {
    const typename V::Reg a = V::Load(panel), b = V::Load(panel + kLanes);
    QF_UNROLL
    for (int t = 0; t < kTokens; ++t) {
      const typename V::Reg value = V::Set(x[t].values[at]);
      first[t] = V::Fma(a, value, first[t]);
      second[t] = V::Fma(b, value, second[t]);
    }
  }
  QF_UNROLL
  for (int t = 0; t < kTokens; ++t) {
    V::StoreSome(first[t], y + t * y_stride, rows);
    V::StoreSome(second[t], y + t * y_stride + kLanes, rows - kLanes);
  }
}

template <class V, class Number>
QF_TARGET void MultiplyFloatsApart(const std::byte* weights, int64_t row_bytes, int64_t rows,
                                   int64_t cols, std::span<const ActivationRow> x, float* y,
                                   int64_t y_stride) {
  for (int64_t r = 0; r < rows; ++r) {
    for (size_t t = 0; t < x.size(); ++t)
      y[static_cast<int64_t>(t) * y_stride + r] =
          DotRow<V, Numbers<V, Number>>(weights + r * row_bytes, x[t].values, cols);
  }
}

template <class V, class Number>
QF_TARGET void MultiplyFloats(const std::byte* weights, int64_t row_bytes, int64_t rows,
                              int64_t cols, std::span<const ActivationRow> x, float* y,
                              int64_t y_stride) {
  const auto tokens = static_cast<int64_t>(x.size());
  if (tokens < kFewTokens)
    return MultiplyFloatsApart<V, Number>(weights, row_bytes, rows, cols, x, y, y_stride);
  constexpr int64_t kStrip = kFloatStrip<V>, kColumns = V::kFloatPanelColumns;
  static_assert(kColumns % V::kLanes == 0);
  const LineAligned<float> panel((std::min(cols, kColumns) + V::kLanes - 1) / V::kLanes *
                                 V::kLanes * kStrip);
  for (int64_t r = 0; r < rows; r += kStrip) {
    const int64_t height = std::min(kStrip, rows - r);
    for (int64_t begin = 0; begin < cols; begin += kColumns) {
      const int64_t end = std::min(cols, begin + kColumns);
      FillFloatPanel<V, Number>(weights + r * row_bytes, row_bytes, height, begin, end,
                                panel.data());
      InGroups(typename V::FloatTokens(), tokens, [&]<int kTokens>(int64_t t) {
        MultiplyFloatPanel<V, kTokens>(panel.data(), begin, end, &x[static_cast<size_t>(t)], height,
                                       y + r + t * y_stride, y_stride);
      });
    }
  }
}

// As block_table.h takes it. kSigned: whether V's products take codes of eight bits signed.
template <Registers V, bool kSigned>
struct PanelSet {
  using Q8 = Q8_0<kSigned>;
  template <bool kMin, bool kFifthBit>
  using Nibbles = Nibbles32<kMin, kFifthBit>;
  template <bool kFifthBit>
  using Affine = AffineK<kFifthBit>;
  using Q2 = Q2_K;
  using Q6 = Q6_K;
  template <size_t kRow>
  using Table = Table32<kRow, kSigned>;
  template <size_t kRow>
  using TableK = Table256<kRow, kSigned>;
  template <size_t kRow>
  using Unpacked = UnpackedUnit<kRow, kSigned>;
  template <class B>
  static constexpr MultiplyPair kIntegers = {MultiplyIntegers<V, B>, MultiplyIntegersApart<B>};
  template <class Number>
  static constexpr MultiplyPair kNumbers = {MultiplyFloats<V, Number>,
                                            MultiplyFloatsApart<V, Number>};
  template <pipeline::DType kType>
  static constexpr MultiplyPair kFloats =
      kType == pipeline::DType::kF32   ? kNumbers<F32Number<V>>
      : kType == pipeline::DType::kF16 ? kNumbers<F16Number<V>>
                                       : kNumbers<BF16Number<V>>;
};

}  // namespace
}  // namespace quantfleet::engine
