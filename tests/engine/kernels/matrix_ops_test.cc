// Each set of products against sums in double precision over what was decoded and what was
// quantized, at every width of a batch, for rows that begin anywhere.
#include "engine/kernels/matrix_ops.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <random>

#include "pipeline/tensor/codec.h"

namespace quantfleet::engine {
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

// Bits of any kind, but for blocks whose scale makes them much larger or smaller than others.
void RandomBlocks(const pipeline::Codec& codec, std::span<std::byte> out) {
  const pipeline::DTypeInfo& info = Info(codec.type);
  std::mt19937_64 random(3);
  std::vector<float> values(static_cast<size_t>(info.block_elements));
  const auto size = static_cast<size_t>(info.block_bytes);
  for (size_t at = 0; at < out.size(); at += size) {
    float most = 0;
    do {
      for (std::byte& b : out.subspan(at, size)) b = static_cast<std::byte>(random());
      codec.decode(out.data() + at, info.block_elements, values.data());
      most = 0;
      for (const float v : values) most = std::isnan(v) ? INFINITY : std::max(most, std::fabs(v));
    } while (!(most > 0.1f && most < 10.f));
  }
}

struct EncodedMatrix {
  EncodedMatrix(DType dtype, int64_t height, int64_t width)
      : type(dtype), rows(height), cols(width), row_bytes(RowBytes(dtype, width)) {
    const pipeline::Codec& codec = *pipeline::FindCodec(type);
    std::vector<std::byte> encoded(static_cast<size_t>(rows * row_bytes));
    if (codec.encode != nullptr)
      codec.encode(Random(rows * cols, 1).data(), rows, cols, nullptr, encoded.data());
    else
      RandomBlocks(codec, encoded);
    storage.resize(encoded.size() + 1);
    std::memcpy(storage.data() + 1, encoded.data(), encoded.size());
    decoded.resize(static_cast<size_t>(rows * cols));
    codec.decode(encoded.data(), rows * cols, decoded.data());
  }
  // At an odd address, and nothing behind it that may be read (a sanitizer sees).
  const std::byte* data() const { return storage.data() + 1; }
  DType type;
  int64_t rows, cols, row_bytes;
  std::vector<std::byte> storage;
  std::vector<float> decoded;
};

// A batch of activations, quantized by a set.
struct Batch {
  Batch(const MatrixOps& ops, int64_t batch, int64_t width, bool integers)
      : tokens(batch), cols(width) {
    const int64_t units = (cols + kActivationUnit - 1) / kActivationUnit;
    values = Random(tokens * cols, 7);
    codes.assign(static_cast<size_t>(tokens * units * 256), 77);
    for (std::vector<float>* v : {&scales, &sums})
      v->assign(static_cast<size_t>(tokens * units * 8), NAN);
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

void Check(const MatrixOps& ops, const EncodedMatrix& m, int64_t tokens) {
  const auto& [type, rows, cols, row_bytes, storage, decoded] = m;
  SCOPED_TRACE(
      fmt::format("{} {} {}x{}, {} tokens", ops.name, Info(type).name, rows, cols, tokens));
  const Batch x(ops, tokens, cols, TakesIntegers(type));
  const int64_t stride = rows + 3;
  std::vector<float> y(static_cast<size_t>(tokens * stride), -77.f);
  ops.multiply(type)(m.data(), row_bytes, rows, cols, x.rows, y.data(), stride);
  std::vector<double> token(static_cast<size_t>(cols));
  for (int64_t t = 0; t < tokens; ++t) {
    for (int64_t i = 0; i < cols; ++i) token[i] = x.At(t, i, TakesIntegers(type));
    for (int64_t r = 0; r < rows; ++r) {
      const float* row = decoded.data() + r * cols;
      double sum = 0, size = 0;
      for (int64_t i = 0; i < cols; ++i) {
        const double product = row[i] * token[i];
        sum += product, size += std::abs(product);
      }
      ASSERT_NEAR(y[t * stride + r], sum, 3e-6 * size + 1e-30) << "row " << r << ", token " << t;
    }
    for (int64_t r = rows; r < stride; ++r)
      ASSERT_EQ(y[t * stride + r], -77.f) << "written beyond the rows";
  }
}

TEST(MatrixOps, ProductsOfEveryTypeAndShape) {
  for (DType type : {DType::kF32,    DType::kF16,   DType::kBF16,    DType::kQ8_0,  DType::kQ4_0,
                     DType::kQ4_1,   DType::kQ5_0,  DType::kQ5_1,    DType::kQ4_K,  DType::kQ5_K,
                     DType::kQ6_K,   DType::kQ3_K,  DType::kIQ1_S,   DType::kIQ1_M, DType::kIQ2_XXS,
                     DType::kIQ2_XS, DType::kIQ2_S, DType::kIQ3_XXS, DType::kIQ3_S, DType::kIQ4_XS,
                     DType::kTQ1_0,  DType::kTQ2_0, DType::kIQ4_NL,  DType::kMXFP4, DType::kQ2_K}) {
    const int64_t block = Info(type).block_elements;
    for (int64_t cols : {1, 2, 9, 24}) {
      for (int64_t rows : {1, 16, 37}) {
        if (Info(type).codec->unpack != nullptr && cols != 2)
          continue;  // they differ in what their codec unpacks
        const EncodedMatrix matrix(type, rows, cols * (block == 1 ? 67 : block));
        for (const MatrixOps* ops : AllMatrixOps()) {
          if (ops->multiply(type) == nullptr) {
            EXPECT_FALSE(TakesIntegers(type));
            continue;
          }
          for (int64_t tokens : {1, 3, 4, 8, 23}) Check(*ops, matrix, tokens);
        }
      }
    }
  }
  for (const MatrixOps* ops : AllMatrixOps())
    EXPECT_EQ(ops->multiply(static_cast<DType>(77)), nullptr);
}

// One table serves all sets: what one multiplies as integers all do, in batches and alone.
TEST(MatrixOps, EverySetHasEveryTypeOfIntegers) {
  int types = 0;
  for (const pipeline::DTypeInfo& info : pipeline::kDTypes) {
    if (!TakesIntegers(info.type)) continue;
    ++types;
    for (const MatrixOps* ops : AllMatrixOps()) {
      EXPECT_NE(ops->multiply(info.type), nullptr) << ops->name << " " << info.name;
      EXPECT_NE(ops->multiply_apart(info.type), nullptr) << ops->name << " " << info.name;
    }
  }
  EXPECT_EQ(types, 21);
}

#if defined(__aarch64__)
// Whichever of them a token meets, and in whatever company: two rows at a time, four tokens at a
// time, or alone.
TEST(MatrixOps, SetsOfNeonGiveEachOthersBits) {
  constexpr int64_t kRows = 37, kTokens = 7;
  for (DType type :
       {DType::kQ8_0, DType::kQ4_0, DType::kQ4_1, DType::kQ5_0, DType::kQ4_K, DType::kQ5_K,
        DType::kQ6_K, DType::kQ2_K, DType::kQ3_K, DType::kIQ1_M, DType::kIQ2_S, DType::kIQ3_XXS,
        DType::kIQ4_NL, DType::kIQ4_XS, DType::kMXFP4, DType::kTQ2_0}) {
    for (int64_t blocks : {1, 9, 24}) {
      const EncodedMatrix m(type, kRows, blocks * Info(type).block_elements);
      const Batch x(NeonMatrixOps(), kTokens, m.cols, true);
      std::vector<float> plain(kRows * kTokens), other(plain.size());
      NeonMatrixOps().multiply(type)(m.data(), m.row_bytes, kRows, m.cols, x.rows, plain.data(),
                                     kRows);
      for (const MatrixOps* ops : AllMatrixOps()) {
        if (ops == &ScalarMatrixOps()) continue;  // it adds up in another order
        for (int64_t company : {kTokens, int64_t{1}}) {
          std::ranges::fill(other, NAN);
          for (int64_t t = 0; t < kTokens; t += company) {
            const auto tokens =
                std::span(x.rows).subspan(static_cast<size_t>(t), static_cast<size_t>(company));
            ops->multiply(type)(m.data(), m.row_bytes, kRows, m.cols, tokens,
                                other.data() + t * kRows, kRows);
          }
          EXPECT_EQ(other, plain) << ops->name << " " << Info(type).name << ", " << company
                                  << " at a time";
        }
      }
    }
  }
}
#endif

TEST(MatrixOps, SetsQuantizeAlike) {
  const int64_t cols = 288;
  const Batch scalar(ScalarMatrixOps(), 9, cols, true);
  for (int64_t i = 0; i < cols; ++i)
    EXPECT_NEAR(scalar.At(0, i, true), scalar.rows[0].values[i],
                0.501 * scalar.rows[0].scales[i / 32]);
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

// The instruction of AVX2 saturates, and sums of its results in 16 bits overflow, where codes are
// large: the worst there are, alone and in panels.
TEST(MatrixOps, LargestCodesDoNotSaturate) {
  constexpr int64_t kRows = 17, kCols = 512;
  const auto one = [](std::byte* at) { at[0] = std::byte{0x00}, at[1] = std::byte{0x3c}; };
  for (DType type : {DType::kQ8_0, DType::kQ4_0, DType::kQ4_1, DType::kQ5_0, DType::kQ4_K,
                     DType::kQ5_K, DType::kQ6_K, DType::kIQ4_NL, DType::kIQ4_XS, DType::kMXFP4}) {
    const pipeline::DTypeInfo& info = Info(type);
    const int64_t blocks = kRows * kCols / info.block_elements, row_bytes = RowBytes(type, kCols);
    for (const int code : {255, 128, 127, 0}) {
      std::vector<std::byte> weights(static_cast<size_t>(kRows * row_bytes),
                                     static_cast<std::byte>(code));
      for (int64_t b = 0; b < blocks; ++b) {
        std::byte* block = weights.data() + b * info.block_bytes;
        if (type == DType::kMXFP4)
          block[0] = std::byte{128};
        else
          one(type == DType::kQ6_K ? block + 208 : block);
        if (type == DType::kQ4_1 || type == DType::kQ4_K || type == DType::kQ5_K)
          block[2] = block[3] = std::byte{0};
      }
      std::vector<float> decoded(kCols);
      pipeline::FindCodec(type)->decode(weights.data(), kCols, decoded.data());
      const double sum = std::accumulate(decoded.begin(), decoded.end(), 0.0);
      double size = 0;
      for (float v : decoded) size += std::fabs(v);
      for (const MatrixOps* ops : AllMatrixOps()) {
        for (const float value : {1.f, -1.f}) {
          const std::vector<float> x(kCols, value);
          std::vector<float> scales(kCols / 32), sums(kCols / 32), half_sums(kCols / 16);
          std::vector<int8_t> codes(kCols);
          ops->quantize(x.data(), kCols, codes.data(), scales.data(), sums.data(),
                        half_sums.data());
          const std::vector<ActivationRow> rows(
              5, {x.data(), codes.data(), scales.data(), sums.data(), half_sums.data()});
          for (const size_t tokens : {1, 4, 5}) {
            std::vector<float> y(tokens * kRows);
            ops->multiply(type)(weights.data(), row_bytes, kRows, kCols,
                                std::span(rows).first(tokens), y.data(), kRows);
            for (float got : y)
              ASSERT_NEAR(got, sum * value, 1e-5 * size)
                  << ops->name << " " << info.name << " of " << code << ", " << tokens;
          }
        }
      }
    }
  }
}

TEST(MatrixOps, TheTableSaysWhichTypesTakeIntegers) {
  for (const pipeline::DTypeInfo& info : pipeline::kDTypes)
    EXPECT_EQ(ScalarMatrixOps().multiply(info.type) != nullptr, info.integer_products.has_value())
        << info.name;
}

}  // namespace
}  // namespace quantfleet::engine
