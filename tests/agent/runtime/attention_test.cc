#include "agent/runtime/attention.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "tests/support/noise.h"

namespace quantfleet::agent {
namespace {

using quantfleet::testing::NormalFloats;

// Over the first `reach` positions, in double precision.
std::vector<double> Reference(const HeadCache& cache, const float* query, int64_t reach) {
  std::vector<double> weights(static_cast<size_t>(reach)), out(static_cast<size_t>(cache.dim));
  double sum = 0;
  for (int64_t p = 0; p < reach; ++p) {
    double dot = 0;
    for (int64_t d = 0; d < cache.dim; ++d) dot += double{query[d]} * cache.keys[p * cache.dim + d];
    sum += weights[p] = std::exp(dot / std::sqrt(static_cast<double>(cache.dim)));
  }
  for (int64_t p = 0; p < reach; ++p) {
    for (int64_t d = 0; d < cache.dim; ++d) out[d] += weights[p] / sum * cache.values[p * cache.dim + d];
  }
  return out;
}

// Lengths on both sides of what is turned at a time, dimensions that no register divides, and behind the results what belongs to
// the next head.
TEST(Attention, RowsTogetherAndAloneGiveTheSumsOfDoubles) {
  for (const int64_t dim : {20, 96, 128}) {
    for (const auto& [reach, rows] : {std::pair<int64_t, int64_t>{1, 8}, {250, 13}, {256, 64}, {700, 64}, {513, 9}}) {
      const int64_t positions = reach + rows - 1, stride = 2 * dim;
      const std::vector<float> keys = NormalFloats(positions * dim, 1), values = NormalFloats(positions * dim, 2);
      const std::vector<float> queries = NormalFloats(rows * stride, 3);
      const HeadCache cache = {keys.data(), values.data(), dim};
      const auto expect_near = [&](const std::vector<float>& out, const char* how) {
        for (int64_t i = 0; i < rows; ++i) {
          const std::vector<double> expected = Reference(cache, queries.data() + i * stride, reach + i);
          for (int64_t d = 0; d < dim; ++d) {
            ASSERT_NEAR(out[i * stride + d], expected[d], 1e-5) << how << ", row " << i << ", dimension " << d;
            ASSERT_EQ(out[i * stride + dim + d], 7.f) << how;
          }
        }
      };
      std::vector<float> scores, alone(queries.size(), 7.f);
      for (int64_t i = 0; i < rows; ++i)
        AttendAlone(ScalarOps(), cache, queries.data() + i * stride, reach + i, scores, alone.data() + i * stride);
      expect_near(alone, "alone");
      for (const MatrixOps* ops : AllMatrixOps()) {
        const MultiplyRows multiply = ops->multiply(pipeline::DType::kF32);
        if (multiply == nullptr) continue;
        std::vector<float> together(queries.size(), 7.f);
        AttendTogether(multiply, cache, queries.data(), rows, stride, reach, scores, together.data());
        expect_near(together, std::string(ops->name).c_str());
      }
    }
  }
}

}  // namespace
}  // namespace quantfleet::agent
