// Each set of inner loops against plain sums, and its own promise: a row of blocks times a vector
// has the bits of the row decoded, then multiplied.
#include "engine/kernels/vector_ops.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "pipeline/tensor/codec.h"
#include "tests/support/noise.h"

namespace quantfleet::engine {
namespace {

using pipeline::DType;
using quantfleet::testing::NormalFloats;

std::vector<const VectorOps*> Sets() {
  std::vector<const VectorOps*> sets = {&ScalarOps()};
  if (&ChosenOps() != sets[0]) sets.push_back(&ChosenOps());
  return sets;
}

void CheckRow(const VectorOps& ops, DType type, int64_t n) {
  const pipeline::Codec& codec = *pipeline::FindCodec(type);
  const std::vector<float> weights = NormalFloats(n, 1), x = NormalFloats(n, 2);
  // Rows in a file may begin anywhere.
  std::vector<std::byte> storage(static_cast<size_t>(RowBytes(type, n)) + 1);
  std::byte* row = storage.data() + 1;
  std::vector<std::byte> aligned(storage.size());
  codec.encode(weights.data(), 1, n, nullptr, aligned.data());
  std::memcpy(row, aligned.data(), aligned.size() - 1);

  std::vector<float> expected(weights.size()), decoded(weights.size());
  codec.decode(row, n, expected.data());
  ops.row_decode(type)(row, n, decoded.data());
  ASSERT_EQ(decoded, expected) << Info(type).name << ", n " << n;

  double sum = 0, size = 0;
  for (int64_t i = 0; i < n; ++i)
    sum += double{expected[i]} * x[i], size += std::abs(double{expected[i]} * x[i]);
  const float dot = ops.row_dot(type)(row, x.data(), n);
  EXPECT_NEAR(dot, sum, 1e-6 * size + 1e-30) << Info(type).name << ", n " << n;
  const float by_decoding = ops.dot(decoded.data(), x.data(), n);
  EXPECT_EQ(std::memcmp(&dot, &by_decoding, sizeof dot), 0) << Info(type).name << ", n " << n;
}

TEST(VectorOps, RowsOfBlocks) {
  for (const VectorOps* ops : Sets()) {
    for (DType type : {DType::kF32, DType::kF16, DType::kBF16}) {
      for (int64_t n : {1, 7, 8, 31, 32, 33, 64, 172, 1024}) CheckRow(*ops, type, n);
    }
    for (DType type : {DType::kQ8_0, DType::kQ4_0}) {
      for (int64_t n : {32, 64, 96, 1024}) CheckRow(*ops, type, n);
    }
    EXPECT_EQ(ops->row_dot(static_cast<DType>(77)), nullptr);
    EXPECT_EQ(ops->row_decode(static_cast<DType>(77)), nullptr);
  }
}

}  // namespace
}  // namespace quantfleet::engine
