// A row's dot product with a vector and its decoding, for registers of any width (registers.h).
// Included by a file that defines QF_TARGET and describes its registers; private to it.
#pragma once

#include "common/base/bytes.h"
#include "engine/kernels/registers.h"
#include "engine/kernels/unroll.h"
#include "engine/kernels/vector_ops.h"
#include "pipeline/tensor/half.h"

namespace quantfleet::engine {
namespace {

// How floats come out of their bytes: a register of them, the first few, and a single one.
template <class V>
struct F32Number {
  static constexpr int64_t kBytes = 4;
  QF_INLINE typename V::Reg Get(const std::byte* at) { return V::Load(at); }
  QF_INLINE typename V::Reg Some(const std::byte* at, int64_t count) {
    return V::LoadSome(at, count);
  }
  QF_INLINE float One(const std::byte* at) { return Load<float>(at); }
};

template <class V>
struct F16Number {
  static constexpr int64_t kBytes = 2;
  QF_INLINE typename V::Reg Get(const std::byte* at) { return V::LoadHalves(at); }
  QF_INLINE typename V::Reg Some(const std::byte* at, int64_t count) {
    return V::LoadSomeHalves(at, count);
  }
  QF_INLINE float One(const std::byte* at) { return pipeline::HalfToFloat(Load<uint16_t>(at)); }
};

template <class V>
struct BF16Number {
  static constexpr int64_t kBytes = 2;
  QF_INLINE typename V::Reg Get(const std::byte* at) { return V::LoadBFloats(at); }
  QF_INLINE typename V::Reg Some(const std::byte* at, int64_t count) {
    return V::LoadSomeBFloats(at, count);
  }
  QF_INLINE float One(const std::byte* at) { return pipeline::BFloatToFloat(Load<uint16_t>(at)); }
};

// Elements per round: those of all sums.
template <class V>
inline constexpr int64_t kRound = V::kDotSums * V::kLanes;

// How a round of a row comes out of its bytes, and the end of a row that is no whole round.
template <class V, class Number>
struct Numbers {
  static constexpr int64_t kRoundBytes = kRound<V> * Number::kBytes;
  QF_INLINE void Get(const std::byte* at, typename V::Reg* v) {
    QF_UNROLL
    for (int i = 0; i < V::kDotSums; ++i) v[i] = Number::Get(at + i * V::kLanes * Number::kBytes);
  }
  QF_INLINE typename V::Reg Some(const std::byte* row, int64_t i, int64_t count) {
    return Number::Some(row + i * Number::kBytes, count);
  }
  QF_INLINE float One(const std::byte* row, int64_t i) {
    return Number::One(row + i * Number::kBytes);
  }
};

// Blocks of 32, a scale and their codes. Rows are whole blocks: there is no end.
template <class V>
struct Blocks {
  static_assert(kRound<V> == 32);
  QF_INLINE float One(const std::byte*, int64_t) { return 0; }
};

template <class V>
struct Q8_0Blocks : Blocks<V> {
  static constexpr int64_t kRoundBytes = 34;
  QF_INLINE void Get(const std::byte* at, typename V::Reg* v) {
    const typename V::Reg scale = V::Set(V::Half(at));
    QF_UNROLL
    for (int i = 0; i < V::kDotSums; ++i)
      v[i] = V::Mul(V::LoadBytes(at + 2 + i * V::kLanes), scale);
  }
};

template <class V>
struct Q4_0Blocks : Blocks<V> {
  static constexpr int64_t kRoundBytes = 18;
  QF_INLINE void Get(const std::byte* at, typename V::Reg* v) {
    const typename V::Reg scale = V::Set(V::Half(at));
    V::LoadNibbles(at + 2, v);
    QF_UNROLL
    for (int i = 0; i < V::kDotSums; ++i) v[i] = V::Mul(v[i], scale);
  }
};

// Neighbours first, then their sums.
template <class V, int kCount>
QF_INLINE typename V::Reg AddAll(const typename V::Reg* parts) {
  if constexpr (kCount == 1)
    return parts[0];
  else
    return V::Add(AddAll<V, kCount / 2>(parts), AddAll<V, kCount / 2>(parts + kCount / 2));
}

// The order of the sum depends on n alone, not on the format: see vector_ops.h.
template <class V, class Row>
QF_TARGET float DotRow(const std::byte* row, const float* x, int64_t n) {
  typename V::Reg sums[V::kDotSums];
  QF_UNROLL
  for (int j = 0; j < V::kDotSums; ++j) sums[j] = V::Set(0);
  int64_t i = 0;
  for (; i + kRound<V> <= n; i += kRound<V>, row += Row::kRoundBytes) {
    typename V::Reg v[V::kDotSums];
    V::template FetchAhead<Row::kRoundBytes>(row);
    Row::Get(row, v);
    QF_UNROLL
    for (int j = 0; j < V::kDotSums; ++j)
      sums[j] = V::Fma(v[j], V::Load(x + i + V::kLanes * j), sums[j]);
  }
  if constexpr (V::kMasked) {
    for (int64_t at = 0; i < n; i += V::kLanes, at += V::kLanes)
      sums[0] = V::Fma(Row::Some(row, at, n - i), V::LoadSome(x + i, n - i), sums[0]);
  }
  float sum = V::Sum(AddAll<V, V::kDotSums>(sums));
  for (int64_t at = 0; i < n; ++i, ++at) sum = __builtin_fmaf(Row::One(row, at), x[i], sum);
  return sum;
}

template <class V, class Row>
QF_TARGET void DecodeRow(const std::byte* row, int64_t n, float* out) {
  int64_t i = 0;
  for (; i + kRound<V> <= n; i += kRound<V>, row += Row::kRoundBytes) {
    typename V::Reg v[V::kDotSums];
    V::template FetchAhead<Row::kRoundBytes>(row);
    Row::Get(row, v);
    QF_UNROLL
    for (int j = 0; j < V::kDotSums; ++j) V::Store(v[j], out + i + V::kLanes * j);
  }
  for (int64_t at = 0; i < n; ++i, ++at) out[i] = Row::One(row, at);
}

// VectorOps' functions.
template <Registers V>
float Dot(const float* a, const float* b, int64_t n) {
  return DotRow<V, Numbers<V, F32Number<V>>>(reinterpret_cast<const std::byte*>(a), b, n);
}

struct RowPair {
  pipeline::DType type;
  RowDot dot;
  RowDecode decode;
};

template <class V, class Row>
constexpr RowPair MakeRowPair(pipeline::DType type) {
  return {type, DotRow<V, Row>, DecodeRow<V, Row>};
}

// What has loops of its own here; every other type has the portable ones.
template <Registers V>
RowPair FindRow(pipeline::DType type) {
  using pipeline::DType;
  static constexpr RowPair kRows[] = {
      MakeRowPair<V, Numbers<V, F32Number<V>>>(DType::kF32),
      MakeRowPair<V, Numbers<V, F16Number<V>>>(DType::kF16),
      MakeRowPair<V, Numbers<V, BF16Number<V>>>(DType::kBF16),
      MakeRowPair<V, Q8_0Blocks<V>>(DType::kQ8_0),
      MakeRowPair<V, Q4_0Blocks<V>>(DType::kQ4_0),
  };
  for (const RowPair& row : kRows)
    if (row.type == type) return row;
  return {type, ScalarOps().row_dot(type), ScalarOps().row_decode(type)};
}

template <Registers V>
constexpr VectorOps MakeVectorOps() {
  return {Dot<V>, [](pipeline::DType type) { return FindRow<V>(type).dot; },
          [](pipeline::DType type) { return FindRow<V>(type).decode; }};
}

}  // namespace
}  // namespace quantfleet::engine
