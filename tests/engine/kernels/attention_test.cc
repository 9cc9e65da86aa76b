// Each set of attention's kernels against sums of doubles over what the cache holds, and its own
// promises.
#include "engine/kernels/attention.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "pipeline/model/running_memory.h"
#include "pipeline/tensor/codec.h"
#include "tests/support/noise.h"

namespace quantfleet::engine {
namespace {

using pipeline::DType;
using quantfleet::testing::NormalFloats;

constexpr DType kCacheTypes[] = {DType::kF32, DType::kF16, DType::kQ8_0};
constexpr int64_t kDims[] = {2, 8, 20, 40, 48, 64, 80, 96, 100, 128, 256};

// A head's cache, as a kernel stores it, and what it holds.
struct Stored {
  std::vector<std::byte> keys, values;
  std::vector<float> key_floats, value_floats;  // [position][dim]
  HeadCache cache;

  Stored(const AttentionKernels& kernels, DType type, int64_t positions, int64_t dim)
      : Stored(kernels, type, positions, dim, NormalFloats(positions * dim, 1),
               NormalFloats(positions * dim, 2)) {}

  Stored(const AttentionKernels& kernels, DType type, int64_t positions, int64_t dim,
         const std::vector<float>& k, const std::vector<float>& v)
      : cache{nullptr, nullptr, pipeline::CacheRowBytes(type, dim), dim} {
    Fill(kernels, type, k, keys, key_floats), Fill(kernels, type, v, values, value_floats);
    cache.keys = keys.data(), cache.values = values.data();
    EXPECT_EQ(key_floats.size(), static_cast<size_t>(positions * dim));
  }

 private:
  void Fill(const AttentionKernels& kernels, DType type, const std::vector<float>& x,
            std::vector<std::byte>& rows, std::vector<float>& floats) const {
    const int64_t dim = cache.dim, positions = static_cast<int64_t>(x.size()) / dim;
    rows.resize(static_cast<size_t>(positions * cache.row_bytes));
    std::vector<float> decoded(static_cast<size_t>(dim + 32));
    const int64_t block = pipeline::Info(type).block_elements;
    for (int64_t p = 0; p < positions; ++p) {
      kernels.store(x.data() + p * dim, dim, rows.data() + p * cache.row_bytes);
      pipeline::FindCodec(type)->decode(rows.data() + p * cache.row_bytes,
                                        (dim + block - 1) / block * block, decoded.data());
      floats.insert(floats.end(), decoded.begin(), decoded.begin() + dim);
    }
  }
};

// Over the first `reach` positions from `begin` on, in double precision.
std::vector<double> Reference(const Stored& stored, const float* query, int64_t reach,
                              int64_t begin = 0) {
  const int64_t dim = stored.cache.dim;
  std::vector<double> weights(static_cast<size_t>(reach)), out(static_cast<size_t>(dim));
  double sum = 0;
  for (int64_t p = begin; p < reach; ++p) {
    double dot = 0;
    for (int64_t d = 0; d < dim; ++d) dot += double{query[d]} * stored.key_floats[p * dim + d];
    double score = dot / std::sqrt(static_cast<double>(dim));
    if (const double cap = stored.cache.cap; cap != 0) score = cap * std::tanh(score / cap);
    sum += weights[p] = std::exp(score);
  }
  for (int64_t p = begin; p < reach; ++p) {
    for (int64_t d = 0; d < dim; ++d) out[d] += weights[p] / sum * stored.value_floats[p * dim + d];
  }
  return out;
}

// Of `count` queries over the first `reach` positions, cut at `cuts`.
std::vector<float> Alone(const AttentionKernels& kernels, const HeadCache& cache,
                         const float* queries, int64_t count, int64_t reach,
                         std::vector<int64_t> cuts = {}) {
  const int64_t floats = PartialFloats(cache.dim);
  cuts.insert(cuts.begin(), 0), cuts.push_back(reach);
  std::vector<float> scratch(static_cast<size_t>(ScratchFloats(cache.dim))),
      out(static_cast<size_t>(count * cache.dim));
  std::vector<float> partials((cuts.size() - 1) * static_cast<size_t>(count * floats));
  for (size_t i = 0; i + 1 < cuts.size(); ++i)
    kernels.range(cache, queries, count, cuts[i], cuts[i + 1],
                  partials.data() + static_cast<int64_t>(i) * count * floats, scratch.data());
  for (int64_t q = 0; q < count; ++q)
    MergePartials(partials.data() + q * floats, count * floats,
                  static_cast<int64_t>(cuts.size()) - 1, cache.dim, out.data() + q * cache.dim);
  return out;
}

template <class Use>
void ForEachKernel(const Use& use) {
  for (const AttentionOps* ops : AllAttentionOps()) {
    for (const DType type : kCacheTypes) {
      SCOPED_TRACE(fmt::format("{} {}", ops->name, pipeline::Info(type).name));
      use(*ops->find(type), type);
    }
    EXPECT_EQ(ops->find(DType::kQ4_0), nullptr);
  }
}

TEST(Attention, RowsOfACacheHaveTheCodecsBytes) {
  ForEachKernel([](const AttentionKernels& kernels, DType type) {
    for (const int64_t dim : kDims) {
      const int64_t block = pipeline::Info(type).block_elements,
                    padded = (dim + block - 1) / block * block;
      std::vector<float> x = NormalFloats(dim, 3);
      std::vector<std::byte> row(static_cast<size_t>(pipeline::CacheRowBytes(type, dim)) + 1,
                                 std::byte{77}),
          expected(row.size() - 1);
      kernels.store(x.data(), dim, row.data());
      x.resize(static_cast<size_t>(padded));
      pipeline::FindCodec(type)->encode(x.data(), 1, padded, nullptr, expected.data());
      EXPECT_EQ(row.back(), std::byte{77});
      EXPECT_EQ(std::memcmp(row.data(), expected.data(), expected.size()), 0) << dim;
    }
  });
}

// Lengths on both sides of a tile's end, groups of queries of every kind, dimensions that no
// register divides.
TEST(Attention, QueriesThatShareAHeadGiveTheSumsOfDoubles) {
  ForEachKernel([](const AttentionKernels& kernels, DType type) {
    for (const int64_t dim : kDims) {
      const Stored stored(kernels, type, 200, dim);
      for (const int64_t count : {1, 2, 3, 5, 7, 12}) {
        const std::vector<float> queries = NormalFloats(count * dim, 3);
        for (const int64_t reach : {1, 7, 8, 63, 64, 65, 127, 200}) {
          const std::vector<float> out = Alone(kernels, stored.cache, queries.data(), count, reach);
          for (int64_t q = 0; q < count; ++q) {
            const std::vector<double> expected = Reference(stored, queries.data() + q * dim, reach);
            for (int64_t d = 0; d < dim; ++d)
              ASSERT_NEAR(out[q * dim + d], expected[d], 1e-5)
                  << "dim " << dim << ", query " << q << " of " << count << ", " << reach;
          }
        }
      }
    }
  });
}

TEST(Attention, RangesMergeToTheWholeAndQueriesDoNotMindEachOther) {
  ForEachKernel([](const AttentionKernels& kernels, DType type) {
    for (const int64_t dim : {40, 96}) {
      const Stored stored(kernels, type, 700, dim);
      const std::vector<float> queries = NormalFloats(8 * dim, 3);
      const std::vector<float> whole = Alone(kernels, stored.cache, queries.data(), 8, 700);
      const std::vector<float> cut =
          Alone(kernels, stored.cache, queries.data(), 8, 700, {256, 257, 512});
      for (size_t i = 0; i < whole.size(); ++i) ASSERT_NEAR(cut[i], whole[i], 1e-5);
      for (int64_t count = 1; count < 8; ++count) {
        const std::vector<float> fewer = Alone(kernels, stored.cache, queries.data(), count, 700);
        EXPECT_EQ(std::memcmp(fewer.data(), whole.data(), fewer.size() * sizeof(float)), 0)
            << count;
      }
    }
  });
}

// Behind the results stands what belongs to the next head.
TEST(Attention, BlocksGiveTheSumsOfDoubles) {
  ForEachKernel([](const AttentionKernels& kernels, DType type) {
    for (const int64_t dim : kDims) {
      for (const auto& [reach, rows] :
           {std::pair<int64_t, int64_t>{1, 8}, {1, 64}, {47, 13}, {48, 3}, {49, 64}, {250, 17}}) {
        const int64_t stride = 2 * dim;
        const Stored stored(kernels, type, reach + rows - 1, dim);
        const std::vector<float> queries = NormalFloats(rows * stride, 3);
        std::vector<float> out(queries.size(), 7.f),
            scratch(static_cast<size_t>(ScratchFloats(dim)));
        kernels.block(stored.cache, queries.data(), rows, stride, reach, scratch.data(),
                      out.data());
        for (int64_t i = 0; i < rows; ++i) {
          const std::vector<double> expected =
              Reference(stored, queries.data() + i * stride, reach + i);
          for (int64_t d = 0; d < dim; ++d) {
            ASSERT_NEAR(out[i * stride + d], expected[d], 1e-5)
                << "dim " << dim << ", row " << i << " of " << rows << " at " << reach;
            ASSERT_EQ(out[i * stride + dim + d], 7.f);
          }
        }
      }
    }
  });
}

// Windows that begin and end within tiles and blocks, shorter than a block and longer than a tile;
// caps above and below the scores.
TEST(Attention, WindowsAndCapsGiveTheSumsOfDoubles) {
  ForEachKernel([](const AttentionKernels& kernels, DType type) {
    for (const int64_t dim : {20, 64}) {
      for (const auto& [reach, rows] : {std::pair<int64_t, int64_t>{1, 64}, {47, 13}, {250, 64}}) {
        Stored stored(kernels, type, reach + rows - 1, dim);
        const std::vector<float> queries = NormalFloats(rows * dim, 3);
        std::vector<float> out(queries.size()), scratch(static_cast<size_t>(ScratchFloats(dim)));
        for (const int64_t window : {0, 1, 30, 100}) {
          for (const float cap : {0.f, 0.5f}) {
            stored.cache.window = window, stored.cache.cap = cap;
            kernels.block(stored.cache, queries.data(), rows, dim, reach, scratch.data(),
                          out.data());
            for (int64_t i = 0; i < rows; ++i) {
              const int64_t begin = window == 0 ? 0 : std::max<int64_t>(0, reach + i - window);
              const std::vector<double> expected =
                  Reference(stored, queries.data() + i * dim, reach + i, begin);
              std::vector<float> partial(static_cast<size_t>(PartialFloats(dim))),
                  alone(static_cast<size_t>(dim));
              kernels.range(stored.cache, queries.data() + i * dim, 1, begin, reach + i,
                            partial.data(), scratch.data());
              MergePartials(partial.data(), 0, 1, dim, alone.data());
              for (int64_t d = 0; d < dim; ++d) {
                ASSERT_NEAR(out[i * dim + d], expected[d], 1e-5)
                    << "dim " << dim << ", row " << i << " of " << rows << " at " << reach
                    << ", window " << window << ", cap " << cap;
                ASSERT_NEAR(alone[d], expected[d], 1e-5);
              }
            }
          }
        }
      }
    }
  });
}

// What has slid out of the window may be anything, and shows where it is seen.
TEST(Attention, WhatIsNoNumberStaysInFrontOfTheWindow) {
  constexpr int64_t kReach = 40, kRows = 60, kBad = 50, kDim = 48, kWindow = 20;
  ForEachKernel([](const AttentionKernels& kernels, DType type) {
    for (const bool in_keys : {true, false}) {
      std::vector<float> keys = NormalFloats((kReach + kRows) * kDim, 1),
                         values = NormalFloats((kReach + kRows) * kDim, 2);
      const std::vector<float> queries = NormalFloats(kRows * kDim, 3);
      const Stored good(kernels, type, kReach + kRows, kDim, keys, values);
      (in_keys ? keys : values)[kBad * kDim + 5] = std::numeric_limits<float>::quiet_NaN();
      Stored damaged(kernels, type, kReach + kRows, kDim, keys, values);
      damaged.cache.window = kWindow;
      std::vector<float> out(queries.size()), scratch(static_cast<size_t>(ScratchFloats(kDim)));
      kernels.block(damaged.cache, queries.data(), kRows, kDim, kReach, scratch.data(), out.data());
      for (int64_t i = 0; i < kRows; ++i) {
        const int64_t begin = kReach + i - kWindow;
        const bool sees = begin <= kBad && kBad < kReach + i;
        const std::vector<double> expected =
            Reference(good, queries.data() + i * kDim, kReach + i, begin);
        bool finite = true;
        for (int64_t d = 0; d < kDim; ++d) {
          finite &= std::isfinite(out[i * kDim + d]);
          if (!sees) {
            ASSERT_NEAR(out[i * kDim + d], expected[d], 1e-5) << "row " << i;
          }
        }
        if (sees) {
          EXPECT_FALSE(finite) << "row " << i;
        }
      }
    }
  });
}

// A damaged later position changes nothing in front of it, and shows where it is reached.
TEST(Attention, WhatIsNoNumberStaysBehindTheRowsThatDoNotReachIt) {
  constexpr int64_t kReach = 40, kRows = 20, kBad = 50, kDim = 48;
  ForEachKernel([](const AttentionKernels& kernels, DType type) {
    for (const float bad : {std::numeric_limits<float>::quiet_NaN(), INFINITY, -INFINITY}) {
      for (const bool in_keys : {true, false}) {
        std::vector<float> keys = NormalFloats((kReach + kRows) * kDim, 1),
                           values = NormalFloats((kReach + kRows) * kDim, 2);
        const std::vector<float> queries = NormalFloats(kRows * kDim, 3);
        const Stored good(kernels, type, kReach + kRows, kDim, keys, values);
        (in_keys ? keys : values)[kBad * kDim + 5] = bad;
        const Stored damaged(kernels, type, kReach + kRows, kDim, keys, values);
        std::vector<float> out(queries.size()), scratch(static_cast<size_t>(ScratchFloats(kDim)));
        kernels.block(damaged.cache, queries.data(), kRows, kDim, kReach, scratch.data(),
                      out.data());
        for (int64_t i = 0; i < kRows; ++i) {
          const bool reaches = kReach + i > kBad;
          const std::vector<float> alone =
              Alone(kernels, damaged.cache, queries.data() + i * kDim, 1, kReach + i);
          const std::vector<double> expected =
              Reference(good, queries.data() + i * kDim, kReach + i);
          bool finite = true;
          for (int64_t d = 0; d < kDim; ++d) {
            finite &= std::isfinite(out[i * kDim + d]) && std::isfinite(alone[d]);
            if (reaches) continue;
            ASSERT_NEAR(out[i * kDim + d], expected[d], 1e-5)
                << bad << (in_keys ? " key, row " : " value, row ") << i;
            ASSERT_NEAR(alone[d], expected[d], 1e-5);
          }
          // A key of minus infinity may weigh nothing.
          if (reaches && (std::isnan(bad) || !in_keys)) {
            EXPECT_FALSE(finite) << bad << " row " << i;
          }
        }
      }
    }
  });
}

// Scores that overflow every exponential by themselves.
TEST(Attention, GreatScoresOfEitherSignAreWeighedAgainstTheGreatest) {
  constexpr int64_t kDim = 64, kPositions = 150;
  ForEachKernel([](const AttentionKernels& kernels, DType type) {
    std::vector<float> keys = NormalFloats(kPositions * kDim, 1);
    for (float& k : keys) k *= 40;
    const Stored stored(kernels, type, kPositions, kDim, keys, NormalFloats(kPositions * kDim, 2));
    std::vector<float> query = NormalFloats(kDim, 3),
                       scratch(static_cast<size_t>(ScratchFloats(kDim))), out(kDim);
    for (float& q : query) q *= 40;
    // The winner takes all: doubles' own exponentials would overflow.
    int64_t best = 0;
    double most = -INFINITY;
    for (int64_t p = 0; p < kPositions; ++p) {
      double dot = 0;
      for (int64_t d = 0; d < kDim; ++d) dot += double{query[d]} * stored.key_floats[p * kDim + d];
      if (dot > most) most = dot, best = p;
    }
    const std::vector<float> alone =
        Alone(kernels, stored.cache, query.data(), 1, kPositions, {64});
    kernels.block(stored.cache, query.data(), 1, kDim, kPositions, scratch.data(), out.data());
    for (int64_t d = 0; d < kDim; ++d) {
      EXPECT_NEAR(alone[d], stored.value_floats[best * kDim + d], 1e-5);
      EXPECT_NEAR(out[d], stored.value_floats[best * kDim + d], 1e-5);
    }
  });
}

}  // namespace
}  // namespace quantfleet::engine
