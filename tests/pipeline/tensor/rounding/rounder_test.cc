#include "pipeline/tensor/rounding/rounder.h"

#include <hwy/highway.h>
#include <hwy/targets.h>

#include <algorithm>
#include <numeric>

#include "pipeline/tensor/half.h"
#include "tests/pipeline/tensor/rounding/rounding_fixture.h"
#include "tests/support/status_matchers.h"

namespace quantfleet::pipeline {
namespace {

double WeighedError(const std::vector<float>& values, const std::vector<float>& decoded,
                    const std::vector<float>& importance) {
  double sum = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    const double off = double{values[i]} - decoded[i];
    sum += importance[i % importance.size()] * off * off;
  }
  return sum;
}

class RounderTest : public ::testing::TestWithParam<DType> {
 protected:
  static constexpr int64_t kRows = 21, kCols = 256;
  RounderTest()
      : moments_(MakeMoments(kCols, 2 * kCols, 5)),
        importance_(moments_.Diagonal()),
        values_(testing::NormalFloats(kRows * kCols, 9)) {
    for (float& w : importance_) w /= 2 * kCols;
    factor_ = std::make_unique<ColumnFactor>(*FactorOf(kCols, moments_.Triangle()));
  }
  Bytes Round(Rounding how) const {
    return RoundStrip(how, GetParam(), values_, kCols, importance_, factor_.get());
  }
  std::vector<float> Decoded(const Bytes& blocks) const {
    return DecodeAll(GetParam(), blocks, kRows * kCols);
  }

  const Moments moments_;
  std::vector<float> importance_;
  const std::vector<float> values_;
  std::unique_ptr<ColumnFactor> factor_;
};

TEST_P(RounderTest, SearchIsNeverWorseThanTheNearestCodes) {
  const std::vector<float> nearest = Decoded(Round(Rounding::kNearest)),
                           searched = Decoded(Round(Rounding::kSearch));
  EXPECT_LE(WeighedError(values_, searched, importance_),
            WeighedError(values_, nearest, importance_) * (1 + 1e-5));
  EXPECT_LT(WeighedError(values_, searched, importance_),
            WeighedError(values_, nearest, importance_));
}

TEST_P(RounderTest, FeedbackChangesProductsLessThanAnyOther) {
  const double nearest = OutputError(moments_, values_, Decoded(Round(Rounding::kNearest))),
               searched = OutputError(moments_, values_, Decoded(Round(Rounding::kSearch))),
               fed_back = OutputError(moments_, values_, Decoded(Round(Rounding::kFeedback)));
  EXPECT_LT(fed_back, 0.9 * nearest);
  EXPECT_LT(fed_back, 0.9 * searched);
}

// However rows come in strips, alone or together.
TEST_P(RounderTest, EachRowIsRoundedForItself) {
  const int64_t row_bytes = RowBytes(GetParam(), kCols);
  for (const Rounding how : {Rounding::kSearch, Rounding::kFeedback}) {
    const Bytes all = Round(how);
    for (const int64_t first : {int64_t{0}, int64_t{17}}) {
      const int64_t count = first == 0 ? 17 : kRows - 17;
      const std::vector<float> some(values_.begin() + first * kCols,
                                    values_.begin() + (first + count) * kCols);
      const Bytes part = RoundStrip(how, GetParam(), some, kCols, importance_, factor_.get());
      EXPECT_TRUE(
          std::ranges::equal(part, ByteSpan(all).subspan(static_cast<size_t>(first * row_bytes),
                                                         static_cast<size_t>(count * row_bytes))));
    }
  }
}

// Digests do not depend on the machine: each instruction set gives the same bits, factor and all.
// Where a build has one alone (aarch64), its bytes are compared with another machine's.
TEST_P(RounderTest, EachInstructionSetGivesTheSameBytes) {
  const Bytes searched = Round(Rounding::kSearch), fed_back = Round(Rounding::kFeedback);
  const int64_t supported = HWY_SUPPORTED_TARGETS;
  int seen = 0;
  for (const int64_t target :
       {HWY_STATIC_TARGET, HWY_SSSE3, HWY_SSE4, HWY_AVX2, HWY_AVX3, HWY_NEON}) {
    if ((supported & target) == 0) continue;
    hwy::GetChosenTarget().Update(target);
    factor_ = std::make_unique<ColumnFactor>(*FactorOf(kCols, moments_.Triangle()));
    EXPECT_EQ(Round(Rounding::kSearch), searched) << hwy::TargetName(target);
    EXPECT_EQ(Round(Rounding::kFeedback), fed_back) << hwy::TargetName(target);
    ++seen;
  }
  hwy::GetChosenTarget().Update(supported);
  if (seen < 2) GTEST_SKIP() << "there is one instruction set to choose from";
}

TEST_P(RounderTest, OddWeightsHaveCodesToo) {
  const std::vector<std::pair<const char*, std::vector<float>>> rows = {
      {"zero", std::vector<float>(kCols, 0.f)},
      {"one value", std::vector<float>(kCols, 0.25f)},
      {"one negative value", std::vector<float>(kCols, -3.f)},
      {"below F16's smallest", std::vector<float>(kCols, 1e-30f)},
  };
  // ggml's searches for a super-block's scales find none where nothing matters.
  const std::vector<float> none(
      kCols, FindBlockGrid(GetParam())->search == GridSearch::kPacked ? 1e-9f : 0.f);
  for (const auto& [name, row] : rows)
    for (const std::vector<float>* importance : {&std::as_const(importance_), &none})
      for (const Rounding how : {Rounding::kSearch, Rounding::kFeedback}) {
        const Bytes blocks = RoundStrip(how, GetParam(), row, kCols, *importance, factor_.get());
        const std::vector<float> decoded = DecodeAll(GetParam(), blocks, kCols);
        const double off = WeighedError(row, decoded, std::vector<float>(kCols, 1.f / kCols));
        EXPECT_LE(std::sqrt(off), 0.1 * std::fabs(row.front()) + 1e-6) << name;
      }
}

INSTANTIATE_TEST_SUITE_P(Types, RounderTest, ::testing::ValuesIn(RoundedTypes()), TypeName());

// GPTQ as its authors have it, in double: columns by falling diagonal, the upper factor of the
// damped inverse, each column's error taken off those behind it.
class PlainGptq {
 public:
  explicit PlainGptq(const Moments& moments);
  // Codes of a row as their values, under the scales of its groups of 32.
  std::vector<float> Round(std::vector<double> row, const std::vector<float>& scales) const;

 private:
  const int64_t n_;
  std::vector<int32_t> order_;
  std::vector<std::vector<double>> upper_;
};

PlainGptq::PlainGptq(const Moments& moments) : n_(moments.n) {
  const int64_t n = n_;
  std::vector<int32_t>& order = order_;
  order.resize(static_cast<size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  std::ranges::sort(order, {}, [&](int32_t a) { return std::pair(moments.at(a, a), a); });
  std::ranges::reverse(order);
  double mean = 0;
  for (int64_t i = 0; i < n; ++i) mean += moments.at(i, i) / static_cast<double>(n);
  // Gauss-Jordan on [H | 1].
  std::vector<std::vector<double>> both(static_cast<size_t>(n),
                                        std::vector<double>(static_cast<size_t>(2 * n)));
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < n; ++j)
      both[i][j] = moments.at(order[i], order[j]) / mean + (i == j ? ColumnFactor::kDamping : 0);
    both[i][n + i] = 1;
  }
  for (int64_t p = 0; p < n; ++p) {
    const double pivot = both[p][p];
    for (double& v : both[p]) v /= pivot;
    for (int64_t i = 0; i < n; ++i) {
      if (i == p) continue;
      const double factor = both[i][p];
      for (int64_t j = 0; j < 2 * n; ++j) both[i][j] -= factor * both[p][j];
    }
  }
  // inverse = U' * U, U upper.
  std::vector<std::vector<double>>& upper = upper_;
  upper.assign(static_cast<size_t>(n), std::vector<double>(static_cast<size_t>(n)));
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = i; j < n; ++j) {
      double sum = both[i][n + j];
      for (int64_t k = 0; k < i; ++k) sum -= upper[k][i] * upper[k][j];
      upper[i][j] = i == j ? std::sqrt(sum) : sum / upper[i][i];
    }
}

std::vector<float> PlainGptq::Round(std::vector<double> row,
                                    const std::vector<float>& scales) const {
  std::vector<float> rounded(static_cast<size_t>(n_));
  for (int64_t i = 0; i < n_; ++i) {
    const int32_t column = order_[i];
    const double scale = scales[column / 32], value = row[column];
    const double code = scale == 0 ? 0 : std::clamp(std::nearbyint(value / scale), -8., 7.);
    rounded[column] = static_cast<float>(code * scale);
    const double error = (value - code * scale) / upper_[i][i];
    for (int64_t j = i + 1; j < n_; ++j) row[order_[j]] -= error * upper_[i][j];
  }
  return rounded;
}

TEST(FeedbackTest, IsGptq) {
  constexpr int64_t kRows = 40, kCols = 160;
  const Moments moments = MakeMoments(kCols, 3 * kCols, 21);
  const std::vector<float> values = testing::NormalFloats(kRows * kCols, 22);
  const auto factor = FactorOf(kCols, moments.Triangle());
  ASSERT_OK(factor);
  const Bytes blocks =
      RoundStrip(Rounding::kFeedback, DType::kQ4_0, values, kCols, moments.Diagonal(), &*factor);
  const std::vector<float> decoded = DecodeAll(DType::kQ4_0, blocks, kRows * kCols);
  const PlainGptq plain(moments);
  int same = 0;
  for (int64_t r = 0; r < kRows; ++r) {
    std::vector<float> scales;
    for (int64_t g = 0; g < kCols / 32; ++g)
      scales.push_back(HalfToFloat(Load<uint16_t>(blocks.data() + (r * kCols / 32 + g) * 18)));
    const std::vector<float> wanted =
        plain.Round({values.begin() + r * kCols, values.begin() + (r + 1) * kCols}, scales);
    const std::vector<float> got(decoded.begin() + r * kCols, decoded.begin() + (r + 1) * kCols);
    same += got == wanted;
  }
  // A value halfway between two codes may fall to either side.
  EXPECT_GE(same, kRows - 2);
}

TEST(RoundingTest, NamesLeadBack) {
  for (const Rounding rounding : {Rounding::kNearest, Rounding::kSearch, Rounding::kFeedback})
    EXPECT_EQ(*RoundingFromName(Name(rounding)), rounding);
  EXPECT_ERROR(RoundingFromName("gptq"), kInvalidArgument, "gptq", "feedback");
}

}  // namespace
}  // namespace quantfleet::pipeline
