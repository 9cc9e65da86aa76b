// Attention's kernels for vectors of any width. Included by a file that defines QF_TARGET and
// describes its registers; private to it. The description V has: Reg, kLanes (they divide kStep),
// kAccumulators (sums that stay in registers beside what they are made of), kTurned (registers of
// turned queries that a product takes at once) and the operations used here. Where one operand of
// Max is NaN it gives the second.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "common/base/bytes.h"
#include "engine/kernels/attention.h"
#include "engine/kernels/attention_layout.h"
#include "engine/kernels/unroll.h"
#include "pipeline/tensor/half.h"

namespace quantfleet::engine {
namespace {

// How kStep elements of a row come out of their bytes. kScaled: times Scale, which they share.
// kEnds: a row may end within a step.
template <class V>
struct F32Rows {
  static constexpr bool kScaled = false, kEnds = true;
  static constexpr int64_t kBytes = 4 * kStep;
  QF_INLINE typename V::Reg Part(const std::byte* step, int j) {
    return V::Load(step + 4 * V::kLanes * j);
  }
  QF_INLINE float Scale(const std::byte*) { return 1; }
  static void Store(const float* x, int64_t dim, std::byte* row) {
    std::memcpy(row, x, static_cast<size_t>(dim) * sizeof(float));
  }
};

template <class V>
struct F16Rows {
  static constexpr bool kScaled = false, kEnds = true;
  static constexpr int64_t kBytes = 2 * kStep;
  QF_INLINE typename V::Reg Part(const std::byte* step, int j) {
    return V::LoadHalves(step + 2 * V::kLanes * j);
  }
  QF_INLINE float Scale(const std::byte*) { return 1; }
  QF_TARGET static void Store(const float* x, int64_t dim, std::byte* row) {
    int64_t i = 0;
    for (; i + V::kLanes <= dim; i += V::kLanes)
      V::StoreHalves(V::Load(reinterpret_cast<const std::byte*>(x + i)), row + 2 * i);
    for (; i < dim; ++i) quantfleet::Store(row + 2 * i, pipeline::FloatToHalf(x[i]));
  }
};

template <class V>
struct Q8Rows {
  static constexpr bool kScaled = true, kEnds = false;
  static constexpr int64_t kBytes = 34;
  QF_INLINE typename V::Reg Part(const std::byte* step, int j) {
    return V::LoadBytes(step + 2 + V::kLanes * j);
  }
  QF_INLINE float Scale(const std::byte* step) { return V::Half(step); }
  static void Store(const float* x, int64_t dim, std::byte* row) {
    ScalarAttentionOps().find(pipeline::DType::kQ8_0)->store(x, dim, row);
  }
};

template <class V>
inline constexpr int kParts = static_cast<int>(kStep / V::kLanes);  // registers of a step

// The end of a row that is no whole step, filled up with zeros.
template <class Rows>
struct RowEnd {
  alignas(64) std::byte bytes[static_cast<size_t>(Rows::kBytes)];
  QF_INLINE void Fill(RowEnd& end, const std::byte* at, int64_t elements) {
    constexpr int64_t kElement = Rows::kBytes / kStep;
    std::memset(end.bytes, 0, sizeof end.bytes);
    std::memcpy(end.bytes, at, static_cast<size_t>(elements * kElement));
  }
};

// sums[h * P + p] += one step of row p times that of query h.
template <class V, class Rows, int P, int H>
QF_INLINE void DotStep(const std::byte* const* at, const float* q, int64_t q_stride,
                       typename V::Reg* sums) {
  QF_UNROLL
  for (int p = 0; p < P; ++p) {
    typename V::Reg v[kParts<V>];
    QF_UNROLL
    for (int j = 0; j < kParts<V>; ++j) v[j] = Rows::Part(at[p], j);
    const float scale = Rows::Scale(at[p]);
    QF_UNROLL
    for (int h = 0; h < H; ++h) {
      const float* x = q + h * q_stride;
      typename V::Reg& sum = sums[h * P + p];
      if constexpr (Rows::kScaled) {
        typename V::Reg t = V::Mul(v[0], V::Load(x));
        QF_UNROLL
        for (int j = 1; j < kParts<V>; ++j) t = V::Fma(v[j], V::Load(x + V::kLanes * j), t);
        sum = V::Fma(t, V::Set(scale), sum);
      } else {
        QF_UNROLL
        for (int j = 0; j < kParts<V>; ++j) sum = V::Fma(v[j], V::Load(x + V::kLanes * j), sum);
      }
    }
  }
}

// scores[h * kTile + p] = row p times query h, for P * H = 8 of them.
template <class V, class Rows, int P, int H>
QF_INLINE void Dots(const std::byte* const* rows, int64_t dim, const float* q, int64_t q_stride,
                    float* scores) {
  static_assert(P * H == 8);
  typename V::Reg sums[8];
  QF_UNROLL
  for (int i = 0; i < 8; ++i) sums[i] = V::Set(0);
  const std::byte* at[P];
  QF_UNROLL
  for (int p = 0; p < P; ++p) at[p] = rows[p];
  const int64_t steps = Rows::kEnds ? dim / kStep : Padded(dim) / kStep;
  for (int64_t s = 0; s < steps; ++s, q += kStep) {
    DotStep<V, Rows, P, H>(at, q, q_stride, sums);
    QF_UNROLL
    for (int p = 0; p < P; ++p) at[p] += Rows::kBytes;
  }
  if (Rows::kEnds && dim % kStep != 0) {
    RowEnd<Rows> ends[P];
    for (int p = 0; p < P; ++p) {
      RowEnd<Rows>::Fill(ends[p], at[p], dim % kStep);
      at[p] = ends[p].bytes;
    }
    DotStep<V, Rows, P, H>(at, q, q_stride, sums);
  }
  float dots[8];
  V::Sum4(sums, dots);
  V::Sum4(sums + 4, dots + 4);
  QF_UNROLL
  for (int h = 0; h < H; ++h) {
    QF_UNROLL
    for (int p = 0; p < P; ++p) scores[h * kTile + p] = dots[h * P + p];
  }
}

// Of a tile's `count` rows, for H queries. Where fewer than P are left, the last one stands in for
// those that are not there.
template <class V, class Rows, int P, int H>
QF_INLINE void Scores(const std::byte* keys, int64_t row_bytes, int64_t count, int64_t dim,
                      const float* q, int64_t q_stride, float* scores) {
  for (int64_t p = 0; p < count; p += P) {
    const std::byte* rows[P];
    for (int i = 0; i < P; ++i) rows[i] = keys + std::min(p + i, count - 1) * row_bytes;
    // What follows in memory is wanted next, and what the processor fetches by itself stops at each
    // page.
    V::Fetch(keys + p * row_bytes + 2048, P * row_bytes);
    Dots<V, Rows, P, H>(rows, dim, q, q_stride, scores + p);
  }
}

// sums[h][.] += the weights of a tile's rows times N steps of them.
template <class V, class Rows, int H, int N>
QF_INLINE void WeighSteps(const std::byte* values, int64_t row_bytes, int64_t count,
                          int64_t elements, const float* weights, float* sums,
                          int64_t sums_stride) {
  constexpr int kRegs = N * kParts<V>;
  typename V::Reg sum[H * kRegs];
  QF_UNROLL
  for (int i = 0; i < H * kRegs; ++i)
    sum[i] = V::Load(sums + i / kRegs * sums_stride + i % kRegs * V::kLanes);
  for (int64_t p = 0; p < count; ++p) {
    const std::byte* at = values + p * row_bytes;
    RowEnd<Rows> end;
    if (Rows::kEnds && N == 1 && elements < kStep) {
      RowEnd<Rows>::Fill(end, at, elements);
      at = end.bytes;
    }
    QF_UNROLL
    for (int n = 0; n < N; ++n) {
      const float scale = Rows::Scale(at + n * Rows::kBytes);
      typename V::Reg w[H];
      QF_UNROLL
      for (int h = 0; h < H; ++h)
        w[h] = V::Set(Rows::kScaled ? scale * weights[h * kTile + p] : weights[h * kTile + p]);
      QF_UNROLL
      for (int j = 0; j < kParts<V>; ++j) {
        const typename V::Reg v = Rows::Part(at + n * Rows::kBytes, j);
        QF_UNROLL
        for (int h = 0; h < H; ++h)
          sum[h * kRegs + n * kParts<V> + j] = V::Fma(v, w[h], sum[h * kRegs + n * kParts<V> + j]);
      }
    }
  }
  QF_UNROLL
  for (int i = 0; i < H * kRegs; ++i)
    V::Store(sum[i], sums + i / kRegs * sums_stride + i % kRegs * V::kLanes);
}

template <class V, class Rows, int H>
QF_INLINE void Weigh(const std::byte* values, int64_t row_bytes, int64_t count, int64_t dim,
                     const float* weights, float* sums, int64_t sums_stride) {
  constexpr int kMax =
      std::max(1, V::kAccumulators / (H * kParts<V>));  // steps whose sums stay in registers
  int64_t left = dim;
  while (left > 0) {
    const int64_t steps = Rows::kEnds ? left / kStep : Padded(left) / kStep;
    int64_t taken = 1;
    if (kMax >= 4 && steps >= 4) {
      taken = 4;
      WeighSteps<V, Rows, H, kMax >= 4 ? 4 : 1>(values, row_bytes, count, left, weights, sums,
                                                sums_stride);
    } else if (kMax >= 3 && steps >= 3) {
      taken = 3;
      WeighSteps<V, Rows, H, kMax >= 3 ? 3 : 1>(values, row_bytes, count, left, weights, sums,
                                                sums_stride);
    } else if (kMax >= 2 && steps >= 2) {
      taken = 2;
      WeighSteps<V, Rows, H, kMax >= 2 ? 2 : 1>(values, row_bytes, count, left, weights, sums,
                                                sums_stride);
    } else {
      WeighSteps<V, Rows, H, 1>(values, row_bytes, count, left, weights, sums, sums_stride);
    }
    values += taken * Rows::kBytes, sums += taken * kStep, left -= taken * kStep;
  }
}

// 2 to the power of x, for x up to 0: below -127 it is zero, of NaN it is NaN. The polynomial goes
// through 2^x at the seven Chebyshev nodes of [-1/2, 1/2], within 3e-9.
template <class V>
QF_INLINE typename V::Reg Exp2(typename V::Reg x) {
  x = V::Max(V::Set(-127), x);
  const typename V::Reg whole = V::Round(x), f = V::Sub(x, whole);
  typename V::Reg y = V::Set(0.0001546144469646172f);
  y = V::Fma(y, f, V::Set(0.0013400428177419153f));
  y = V::Fma(y, f, V::Set(0.00961805667852609f));
  y = V::Fma(y, f, V::Set(0.05550327226670944f));
  y = V::Fma(y, f, V::Set(0.24022650922288827f));
  y = V::Fma(y, f, V::Set(0.6931472067028321f));
  y = V::Fma(y, f, V::Set(1));
  return V::Mul(y, V::PowerOfTwo(whole));
}

// cap * tanh(x / cap), times the binary logarithm of e, of x / cap. Of tanh's argument's sign one
// exponential serves both, which is never above 1.
template <class V>
QF_INLINE typename V::Reg Capped(typename V::Reg x, typename V::Reg cap) {
  const typename V::Reg negative = V::Sub(V::Set(0), x), size = V::Max(x, negative);
  const typename V::Reg e = Exp2<V>(V::Mul(size, V::Set(static_cast<float>(-2 * kLog2E))));
  const typename V::Reg tanh = V::Div(V::Sub(V::Set(1), e), V::Add(V::Set(1), e));
  return V::Mul(cap, V::WhereLess(x, V::Set(0), V::Sub(V::Set(0), tanh), tanh));
}

// What queries are multiplied by, for scores that are powers of two's exponents, or shares of the
// cap.
QF_TARGET inline float QueryScale(const HeadCache& cache) {
  const double root = std::sqrt(static_cast<double>(cache.dim));
  return static_cast<float>(cache.cap == 0 ? kLog2E / root : 1 / (root * cache.cap));
}

// Of a tile's scores where the head has a cap: `rows` of them, `stride` apart, of `count` each.
template <class V>
QF_TARGET void CapScores(float cap, int64_t rows, int64_t stride, int64_t count, float* scores) {
  const typename V::Reg most = V::Set(static_cast<float>(cap * kLog2E));
  for (int64_t row = 0; row < rows; ++row, scores += stride)
    for (int64_t i = 0; i < count; i += V::kLanes)
      V::Store(Capped<V>(V::Load(scores + i), most), scores + i);
}

// A tile's scores become weights against the greatest one so far, and the sums so far are brought
// to it.
template <class V>
QF_INLINE void SoftmaxTile(float* scores, int64_t count, int64_t padded, float* partial) {
  const int64_t whole = (count + V::kLanes - 1) / V::kLanes * V::kLanes;
  std::fill(scores + count, scores + whole, -INFINITY);
  typename V::Reg most = V::Set(partial[kMax]);
  for (int64_t p = 0; p < whole; p += V::kLanes) most = V::Max(V::Load(scores + p), most);
  const float before = partial[kMax], now = V::Greatest(most);
  most = V::Set(now);
  typename V::Reg total = V::Set(0);
  for (int64_t p = 0; p < whole; p += V::kLanes) {
    const typename V::Reg weight = Exp2<V>(V::Sub(V::Load(scores + p), most));
    V::Store(weight, scores + p);
    total = V::Add(total, weight);
  }
  const float less = V::First(Exp2<V>(V::Set(before - now)));
  partial[kMax] = now;
  partial[kTotal] = partial[kTotal] * less + V::Sum(total);
  if (less == 1.f) return;
  for (int64_t d = 0; d < padded; d += V::kLanes)
    V::Store(V::Mul(V::Load(partial + kPartialHead + d), V::Set(less)), partial + kPartialHead + d);
}

template <class V, class Rows>
QF_TARGET void Range(const HeadCache& cache, const float* queries, int64_t count, int64_t begin,
                     int64_t end, float* partials, float* scratch) {
  const int64_t dim = cache.dim, padded = Padded(dim), partial = kPartialHead + padded;
  const float scale = QueryScale(cache);
  float *q = scratch, *scores = scratch + kHeads * padded;
  for (int64_t first = 0; first < count;
       first += kHeads, queries += kHeads * dim, partials += kHeads * partial) {
    const int64_t heads = std::min(kHeads, count - first);
    for (int64_t h = 0; h < heads; ++h) {
      for (int64_t d = 0; d < dim; ++d) q[h * padded + d] = queries[h * dim + d] * scale;
      std::fill(q + h * padded + dim, q + (h + 1) * padded, 0.f);
      std::fill_n(partials + h * partial, partial, 0.f);
      partials[h * partial + kMax] = kLowest;
    }
    for (int64_t at = begin; at < end; at += kTile) {
      const int64_t rows = std::min(kTile, end - at);
      const std::byte *keys = cache.keys + at * cache.row_bytes,
                      *values = cache.values + at * cache.row_bytes;
      int64_t h = 0;
      for (; h + 4 <= heads; h += 4)
        Scores<V, Rows, 2, 4>(keys, cache.row_bytes, rows, dim, q + h * padded, padded,
                              scores + h * kTile);
      for (; h + 2 <= heads; h += 2)
        Scores<V, Rows, 4, 2>(keys, cache.row_bytes, rows, dim, q + h * padded, padded,
                              scores + h * kTile);
      if (h < heads)
        Scores<V, Rows, 8, 1>(keys, cache.row_bytes, rows, dim, q + h * padded, padded,
                              scores + h * kTile);
      if (cache.cap != 0) CapScores<V>(cache.cap, heads, kTile, rows, scores);
      for (h = 0; h < heads; ++h)
        SoftmaxTile<V>(scores + h * kTile, rows, padded, partials + h * partial);
      V::Fetch(values + kTile * cache.row_bytes, 1024);
      h = 0;
      float* sums = partials + kPartialHead;
      if constexpr (V::kAccumulators >= 4 * kParts<V>) {
        for (; h + 4 <= heads; h += 4)
          Weigh<V, Rows, 4>(values, cache.row_bytes, rows, dim, scores + h * kTile,
                            sums + h * partial, partial);
      }
      for (; h + 2 <= heads; h += 2)
        Weigh<V, Rows, 2>(values, cache.row_bytes, rows, dim, scores + h * kTile,
                          sums + h * partial, partial);
      if (h < heads)
        Weigh<V, Rows, 1>(values, cache.row_bytes, rows, dim, scores + h * kTile,
                          sums + h * partial, partial);
    }
  }
}

// Blocks of queries lie turned, a register of them for each dimension, so that a key's or a value's
// element times all of them is one product with a number that is the same in every lane, and
// softmax goes up and down.

// A tile of rows as floats, `padded` apart.
template <class V, class Rows>
QF_INLINE void DecodeTile(const std::byte* rows, int64_t row_bytes, int64_t count, int64_t dim,
                          float* out) {
  const int64_t steps = Rows::kEnds ? dim / kStep : Padded(dim) / kStep;
  for (int64_t p = 0; p < count; ++p, rows += row_bytes, out += Padded(dim)) {
    const std::byte* at = rows;
    RowEnd<Rows> end;
    for (int64_t s = 0; s < Padded(dim) / kStep; ++s, at += Rows::kBytes) {
      if (s == steps) {
        RowEnd<Rows>::Fill(end, at, dim % kStep);
        at = end.bytes;
      }
      const typename V::Reg scale = V::Set(Rows::Scale(at));
      QF_UNROLL
      for (int j = 0; j < kParts<V>; ++j) {
        const typename V::Reg v = Rows::Part(at, j);
        V::Store(Rows::kScaled ? V::Mul(v, scale) : v, out + s * kStep + j * V::kLanes);
      }
    }
  }
}

// y[m] = y[m] * keep + sum over k of a[m * a_row + k * a_step] * x[k], for M rows of N registers;
// rows of x and y are kMaxTogether apart. `keep` null: y is only written.
template <class V, int M, int N>
QF_INLINE void TurnedProduct(const float* a, int64_t a_row, int64_t a_step, int64_t count,
                             const float* x, const float* keep, float* y) {
  typename V::Reg sums[M * N];
  QF_UNROLL
  for (int i = 0; i < M * N; ++i) {
    const int lane = i % N * V::kLanes;
    sums[i] =
        keep ? V::Mul(V::Load(y + i / N * kMaxTogether + lane), V::Load(keep + lane)) : V::Set(0);
  }
  for (int64_t k = 0; k < count; ++k, a += a_step, x += kMaxTogether) {
    typename V::Reg v[N];
    QF_UNROLL
    for (int n = 0; n < N; ++n) v[n] = V::Load(x + n * V::kLanes);
    QF_UNROLL
    for (int m = 0; m < M; ++m) {
      const typename V::Reg all = V::Set(a[m * a_row]);
      QF_UNROLL
      for (int n = 0; n < N; ++n) sums[m * N + n] = V::Fma(all, v[n], sums[m * N + n]);
    }
  }
  QF_UNROLL
  for (int i = 0; i < M * N; ++i) V::Store(sums[i], y + i / N * kMaxTogether + i % N * V::kLanes);
}

template <class V, int N>
QF_INLINE void TurnedRows(const float* a, int64_t a_row, int64_t a_step, int64_t rows,
                          int64_t count, const float* x, const float* keep, float* y) {
  int64_t m = 0;
  for (; m + 6 <= rows; m += 6)
    TurnedProduct<V, 6, N>(a + m * a_row, a_row, a_step, count, x, keep, y + m * kMaxTogether);
  for (; m + 2 <= rows; m += 2)
    TurnedProduct<V, 2, N>(a + m * a_row, a_row, a_step, count, x, keep, y + m * kMaxTogether);
  for (; m < rows; ++m)
    TurnedProduct<V, 1, N>(a + m * a_row, a_row, a_step, count, x, keep, y + m * kMaxTogether);
}

template <class V>
QF_TARGET void Turned(int64_t lanes, const float* a, int64_t a_row, int64_t a_step, int64_t rows,
                      int64_t count, const float* x, const float* keep, float* y) {
  int64_t at = 0;
  const auto more = [&] { return keep ? keep + at : nullptr; };
  for (; at + V::kTurned * V::kLanes <= lanes; at += V::kTurned * V::kLanes)
    TurnedRows<V, V::kTurned>(a, a_row, a_step, rows, count, x + at, more(), y + at);
  for (; at < lanes; at += V::kLanes)
    TurnedRows<V, 1>(a, a_row, a_step, rows, count, x + at, more(), y + at);
}

// The room of a block.
struct BlockRoom {
  float *queries, *sums, *tile,
      *scores;  // [dim][query], the same, [position][dim], [position][query]
  float *most, *total, *keep,
      *ahead;  // [query]; the last: positions that it reaches more than the first
  BlockRoom(float* scratch, int64_t dim) {
    const auto take = [&](int64_t floats) { return std::exchange(scratch, scratch + floats); };
    queries = take(Padded(dim) * kMaxTogether), sums = take(Padded(dim) * kMaxTogether);
    tile = take(Padded(dim) * kBlockTile), scores = take(kBlockTile * kMaxTogether);
    most = take(kMaxTogether), total = take(kMaxTogether), keep = take(kMaxTogether),
    ahead = take(kMaxTogether);
  }
};

// The scores of a tile become weights; what a query does not reach or what is not in its window
// weighs nothing. `beyond`: how far the tile's first position lies behind the last one that the
// first query reaches, 0 at that next to it; `within`: how far behind the first of its window.
template <class V>
QF_TARGET void SoftmaxTurned(const BlockRoom& room, int64_t lanes, int64_t beyond, int64_t within,
                             int64_t count, bool masked) {
  for (int64_t i = 0; i < lanes; i += V::kLanes) {
    const typename V::Reg ahead = V::Load(room.ahead + i), before = V::Load(room.most + i);
    typename V::Reg most = before;
    float* scores = room.scores + i;
    for (int64_t p = 0; p < count; ++p, scores += kMaxTogether) {
      typename V::Reg score = V::Load(scores);
      if (masked) {
        score =
            V::WhereLess(V::Set(static_cast<float>(beyond + p)), ahead, score, V::Set(-INFINITY));
        score =
            V::WhereLess(V::Set(static_cast<float>(within + p)), ahead, V::Set(-INFINITY), score);
        V::Store(score, scores);
      }
      most = V::Max(score, most);
    }
    const typename V::Reg keep = Exp2<V>(V::Sub(before, most));
    typename V::Reg total = V::Mul(V::Load(room.total + i), keep);
    scores = room.scores + i;
    for (int64_t p = 0; p < count; ++p, scores += kMaxTogether) {
      const typename V::Reg weight = Exp2<V>(V::Sub(V::Load(scores), most));
      V::Store(weight, scores);
      total = V::Add(total, weight);
    }
    V::Store(most, room.most + i), V::Store(total, room.total + i), V::Store(keep, room.keep + i);
  }
}

// Whether all are numbers: infinity and NaN times zero are none.
template <class V>
QF_INLINE bool Finite(const float* values, int64_t count) {
  typename V::Reg sum = V::Set(0);
  for (int64_t i = 0; i < count; i += V::kLanes) sum = V::Fma(V::Load(values + i), V::Set(0), sum);
  return V::Sum(sum) == 0;
}

template <class V, class Rows>
QF_TARGET void OneByOne(const HeadCache& cache, const float* queries, int64_t rows, int64_t stride,
                        int64_t reach, float* scratch, float* out) {
  float* partial = scratch + kHeads * (Padded(cache.dim) + kTile);
  for (int64_t i = 0; i < rows; ++i) {
    Range<V, Rows>(cache, queries + i * stride, 1, WindowBegin(cache, reach + i), reach + i,
                   partial, scratch);
    MergePartials(partial, 0, 1, cache.dim, out + i * stride, cache.sink);
  }
}

template <class V, class Rows>
QF_TARGET void Block(const HeadCache& cache, const float* queries, int64_t rows, int64_t stride,
                     int64_t reach, float* scratch, float* out) {
  const int64_t dim = cache.dim, padded = Padded(dim), widest = reach + rows - 1;
  const int64_t lanes = (rows + V::kLanes - 1) / V::kLanes * V::kLanes;
  const float scale = QueryScale(cache);
  // The first positions that the first and the last query see.
  const int64_t begin = WindowBegin(cache, reach), last_begin = WindowBegin(cache, widest);
  const BlockRoom room(scratch, dim);
  for (int64_t d = 0; d < dim; ++d) {
    float* turned = room.queries + d * kMaxTogether;
    for (int64_t i = 0; i < rows; ++i) turned[i] = queries[i * stride + d] * scale;
    std::fill(turned + rows, turned + lanes, 0.f);
  }
  for (int64_t i = 0; i < lanes; ++i) {
    room.most[i] = kLowest, room.total[i] = 0;
    room.ahead[i] = static_cast<float>(std::min(i, rows - 1));
  }
  std::fill_n(room.sums, dim * kMaxTogether, 0.f);
  for (int64_t at = begin; at < widest; at += kBlockTile) {
    const int64_t count = std::min(kBlockTile, widest - at);
    const bool masked = at + count > reach || at < last_begin;
    DecodeTile<V, Rows>(cache.keys + at * cache.row_bytes, cache.row_bytes, count, dim, room.tile);
    Turned<V>(lanes, room.tile, padded, 1, count, dim, room.queries, nullptr, room.scores);
    if (cache.cap != 0) CapScores<V>(cache.cap, count, kMaxTogether, lanes, room.scores);
    // Without a window all positions are far within it.
    const int64_t within = cache.window > 0 ? at - (reach - cache.window) : kMaxTogether;
    SoftmaxTurned<V>(room, lanes, at - reach, within, count, masked);
    DecodeTile<V, Rows>(cache.values + at * cache.row_bytes, cache.row_bytes, count, dim,
                        room.tile);
    // A weight of zero would not keep what is no number away from the rows that do not reach it.
    if (masked && !Finite<V>(room.tile, count * padded))
      return OneByOne<V, Rows>(cache, queries, rows, stride, reach, scratch, out);
    Turned<V>(lanes, room.tile, 1, padded, dim, count, room.scores, room.keep, room.sums);
  }
  const float sink = cache.sink * static_cast<float>(kLog2E);
  for (int64_t i = 0; i < rows; ++i) {
    const float whole = 1.f / (room.total[i] + std::exp2(sink - room.most[i]));
    for (int64_t d = 0; d < dim; ++d) out[i * stride + d] = room.sums[d * kMaxTogether + i] * whole;
  }
}

template <class V>
const AttentionKernels* FindKernels(pipeline::DType type) {
  using pipeline::DType;
  static constexpr AttentionKernels kF32 = {F32Rows<V>::Store, Range<V, F32Rows<V>>,
                                            Block<V, F32Rows<V>>};
  static constexpr AttentionKernels kF16 = {F16Rows<V>::Store, Range<V, F16Rows<V>>,
                                            Block<V, F16Rows<V>>};
  static constexpr AttentionKernels kQ8 = {Q8Rows<V>::Store, Range<V, Q8Rows<V>>,
                                           Block<V, Q8Rows<V>>};
  return type == DType::kF32    ? &kF32
         : type == DType::kF16  ? &kF16
         : type == DType::kQ8_0 ? &kQ8
                                : nullptr;
}

}  // namespace
}  // namespace quantfleet::engine
