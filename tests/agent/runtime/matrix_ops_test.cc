// Each set of products against sums in double precision over what was decoded and what was quantized, at
// every width of a batch, for rows that begin anywhere.
#include "agent/runtime/matrix_ops.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>

#include "pipeline/tensor/codec.h"

namespace quantfleet::agent {
namespace {

using pipeline::DType;

std::vector<float> Random(int64_t n, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<size_t>(n));
  // A mean that is not zero, so that mins and offsets count.
  for (float& v : values) v = normal(random) + 0.3f;
  return values;
}

// A batch of activations, quantized by a set.
struct Batch {
  Batch(const MatrixOps& ops, int64_t batch, int64_t width, bool integers) : tokens(batch), cols(width) {
    const int64_t units = (cols + kActivationUnit - 1) / kActivationUnit;
    values = Random(tokens * cols, 7);
    codes.assign(static_cast<size_t>(tokens * units * 256), 77);
    for (std::vector<float>* v : {&scales, &sums}) v->assign(static_cast<size_t>(tokens * units * 8), NAN);
    half_sums.assign(static_cast<size_t>(tokens * units * 16), NAN);
    for (int64_t t = 0; t < tokens; ++t) {
      float* x = values.data() + t * cols;
      if (t % 5 == 3) std::fill_n(x, std::min<int64_t>(cols, 40), 0.f);
      int8_t* c = codes.data() + t * units * 256;
      float *s = scales.data() + t * units * 8, *u = sums.data() + t * units * 8,
            *h = half_sums.data() + t * units * 16;
      if (integers) ops.quantize(x, cols, c, s, u, h);
      rows.push_back({x, c, s, u, h});
    }
  }
  double At(int64_t t, int64_t i, bool integers) const {
    if (!integers) return rows[t].values[i];
    return double{rows[t].scales[i / 32]} * rows[t].codes[i];
  }
  int64_t tokens, cols;
  std::vector<float> values, scales, sums, half_sums;
  std::vector<int8_t> codes;
  std::vector<ActivationRow> rows;
};

void Check(const MatrixOps& ops, DType type, int64_t rows, int64_t cols, int64_t tokens) {
  SCOPED_TRACE(fmt::format("{} {} {}x{}, {} tokens", ops.name, Info(type).name, rows, cols, tokens));
  const pipeline::Codec& codec = *pipeline::FindCodec(type);
  const int64_t row_bytes = RowBytes(type, cols);
  const std::vector<float> weights = Random(rows * cols, 1);
  std::vector<std::byte> encoded(static_cast<size_t>(rows * row_bytes));
  codec.encode(weights.data(), rows, cols, nullptr, encoded.data());
  // At an odd address, and nothing behind it that may be read (a sanitizer sees).
  std::vector<std::byte> storage(encoded.size() + 1);
  std::memcpy(storage.data() + 1, encoded.data(), encoded.size());
  std::vector<float> decoded(weights.size());
  codec.decode(encoded.data(), rows * cols, decoded.data());

  const Batch x(ops, tokens, cols, TakesIntegers(type));
  const int64_t stride = rows + 3;
  std::vector<float> y(static_cast<size_t>(tokens * stride), -77.f);
  ops.multiply(type)(storage.data() + 1, row_bytes, rows, cols, x.rows, y.data(), stride);
  for (int64_t t = 0; t < tokens; ++t) {
    for (int64_t r = 0; r < rows; ++r) {
      double sum = 0, size = 0;
      for (int64_t i = 0; i < cols; ++i) {
        const double product = decoded[r * cols + i] * x.At(t, i, TakesIntegers(type));
        sum += product, size += std::abs(product);
      }
      ASSERT_NEAR(y[t * stride + r], sum, 3e-6 * size + 1e-30) << "row " << r << ", token " << t;
    }
    for (int64_t r = rows; r < stride; ++r) ASSERT_EQ(y[t * stride + r], -77.f) << "written beyond the rows";
  }
}

TEST(MatrixOps, ProductsOfEveryTypeAndShape) {
  for (const MatrixOps* ops : AllMatrixOps()) {
    for (DType type : {DType::kF32, DType::kF16, DType::kBF16, DType::kQ8_0, DType::kQ4_0, DType::kQ4_1,
                       DType::kQ5_0, DType::kQ5_1, DType::kQ4_K, DType::kQ5_K, DType::kQ6_K}) {
      if (ops->multiply(type) == nullptr) {
        EXPECT_FALSE(TakesIntegers(type));
        continue;
      }
      const int64_t block = Info(type).block_elements;
      for (int64_t cols : {1, 2, 9, 24}) {
        for (int64_t tokens : {1, 3, 4, 8, 23}) {
          for (int64_t rows : {1, 16, 37}) Check(*ops, type, rows, cols * (block == 1 ? 67 : block), tokens);
        }
      }
    }
    EXPECT_EQ(ops->multiply(static_cast<DType>(77)), nullptr);
  }
}

TEST(MatrixOps, SetsQuantizeAlike) {
  const int64_t cols = 288;
  const Batch scalar(ScalarMatrixOps(), 9, cols, true);
  for (int64_t i = 0; i < cols; ++i)
    EXPECT_NEAR(scalar.At(0, i, true), scalar.rows[0].values[i], 0.501 * scalar.rows[0].scales[i / 32]);
  for (const MatrixOps* ops : AllMatrixOps()) {
    const Batch other(*ops, 9, cols, true);
    EXPECT_EQ(other.codes, scalar.codes) << ops->name;
    EXPECT_EQ(other.scales, scalar.scales) << ops->name;
    EXPECT_EQ(other.sums, scalar.sums) << ops->name;
    EXPECT_EQ(other.half_sums, scalar.half_sums) << ops->name;
  }
}

// What a damaged model yields in between must not crash; its logits are refused at the end.
TEST(MatrixOps, NaNAndInfinityAreNotUndefined) {
  for (const MatrixOps* ops : AllMatrixOps()) {
    std::vector<float> x(256, 1.f), scales(8), sums(8), half_sums(16);
    x[3] = NAN, x[40] = INFINITY, x[70] = -INFINITY, x[100] = 3e38f;
    std::vector<int8_t> codes(256);
    ops->quantize(x.data(), 256, codes.data(), scales.data(), sums.data(), half_sums.data());
    for (int8_t code : codes) EXPECT_GE(code, -127);
    EXPECT_FALSE(std::isfinite(scales[1]));
  }
}

// The instruction of AVX2 saturates where codes are large: the worst there are.
TEST(MatrixOps, LargestCodesDoNotSaturate) {
  std::vector<std::byte> row(34, static_cast<std::byte>(0x7f));
  row[0] = std::byte{0x00}, row[1] = std::byte{0x3c};  // 1.0
  for (const int weight : {127, -128}) {
    std::fill(row.begin() + 2, row.end(), static_cast<std::byte>(weight));
    for (const float value : {1.f, -1.f}) {
      for (const MatrixOps* ops : AllMatrixOps()) {
        const std::vector<float> x(32, value);
        std::vector<float> scales(8), sums(8), half_sums(16);
        std::vector<int8_t> codes(256);
        ops->quantize(x.data(), 32, codes.data(), scales.data(), sums.data(), half_sums.data());
        const ActivationRow activations = {x.data(), codes.data(), scales.data(), sums.data(),
                                           half_sums.data()};
        float y = 0;
        ops->multiply(DType::kQ8_0)(row.data(), 34, 1, 32, std::span(&activations, 1), &y, 1);
        EXPECT_NEAR(y, 32.f * value * static_cast<float>(weight), 0.01f) << ops->name;
      }
    }
  }
}

}  // namespace
}  // namespace quantfleet::agent
