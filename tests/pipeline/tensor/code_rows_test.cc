// Parts of encoded rows come back as the values that the codec itself decodes.
#include "pipeline/tensor/code_rows.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>

#include "pipeline/tensor/codec.h"
#include "pipeline/tensor/part.h"

namespace quantfleet::pipeline {
namespace {

// An odd number of the largest groups: nibbles of zero points do not fill their last byte.
constexpr int64_t kCodeRows = 5, kCodeCols = 3 * 256;

struct Case {
  DType type;
  Part codes, scales, zeros;  // zeros is kBlocks where there are none
  GroupZero zero;
};

std::vector<Case> Cases() {
  std::vector<DType> types{DType::kQ4_1};
  for (const int bits : {4, 8})
    for (const int64_t elements : {16, 32, 64, 128, 256})
      for (const GroupZero zero : {GroupZero::kMiddle, GroupZero::kPoint, GroupZero::kBias})
        if (const auto type = FindGroupType({bits, elements, zero})) types.push_back(*type);
  std::vector<Case> cases;
  for (const DType type : types)
    for (const Part scales : {Part::kScales, Part::kScales32}) {
      for (const Part points : {Part::kZeroPoints, Part::kPointStream})
        if (HasPart(type, points))
          cases.push_back({type, Part::kCodes, scales, points, GroupZero::kPoint});
      if (HasPart(type, Part::kBiases))
        cases.push_back({type, Part::kCodes, scales, Part::kBiases, GroupZero::kBias});
      if (!HasPart(type, Part::kSignedCodes)) continue;
      cases.push_back({type, Part::kCodes, scales, Part::kBlocks, GroupZero::kMiddle});
      cases.push_back({type, Part::kSignedCodes, scales, Part::kBlocks, GroupZero::kMiddle});
    }
  return cases;
}

TEST(CodeRows, AreWhatTheCodecDecodes) {
  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  std::vector<float> values(kCodeRows * kCodeCols);
  for (float& v : values)
    v = normal(random) * std::exp2(static_cast<float>(static_cast<int>(random() % 9) - 4));
  for (size_t i = 0; i < 32; ++i) values[i] = 0;  // a group of zeros
  for (size_t i = 32; i < 64; ++i)
    values[i] = 1e-6f * (static_cast<float>(i) - 48.f);  // a subnormal scale
  ASSERT_EQ(Cases().size(), (10u + 6u) * 2 + 10u * 8 + 2u);
  for (const Case& c : Cases()) {
    SCOPED_TRACE(fmt::format("{} codes {} scales {} zeros {}", Info(c.type).name,
                             static_cast<int>(c.codes), static_cast<int>(c.scales),
                             static_cast<int>(c.zeros)));
    Bytes blocks(static_cast<size_t>(kCodeRows * RowBytes(c.type, kCodeCols)));
    FindCodec(c.type)->encode(values.data(), kCodeRows, kCodeCols, nullptr, blocks.data());
    std::vector<float> want(values.size()), got(values.size());
    FindCodec(c.type)->decode(blocks.data(), kCodeRows * kCodeCols, want.data());

    const CodeRows as{.bits = CodeBits(c.type),
                      .is_signed = c.codes == Part::kSignedCodes,
                      .wide_scales = c.scales == Part::kScales32,
                      .zero = c.zero,
                      .group = Info(c.type).block_elements,
                      .cols = kCodeCols,
                      .point_stream = c.zeros == Part::kPointStream};
    const auto take = [&](Part part, int64_t row_bits) {
      Bytes out(static_cast<size_t>((kCodeRows * row_bits + 7) / 8));
      if (part == Part::kBlocks) return out;
      EXPECT_EQ(row_bits, PartRowBits(part, c.type, kCodeCols));
      TakePart(part, c.type, blocks.data(), kCodeRows, kCodeCols, out.data());
      return out;
    };
    const Bytes codes = take(c.codes, 8 * as.code_bytes()),
                scales = take(c.scales, 8 * as.scale_bytes());
    const Bytes zeros = take(c.zeros, as.zero_bits());
    // In two parts, of which the second may begin within a byte of zero points.
    constexpr int64_t kFirst = 1;
    DecodeCodeRows(as, codes.data(), scales.data(), zeros.data(), 0, kFirst, got.data());
    DecodeCodeRows(as, codes.data() + kFirst * as.code_bytes(),
                   scales.data() + kFirst * as.scale_bytes(),
                   zeros.data() + kFirst * as.zero_bits() / 8, kFirst, kCodeRows - kFirst,
                   got.data() + kFirst * kCodeCols);
    if (c.zero == GroupZero::kBias) {
      EXPECT_EQ(got, want);  // but for the sign of zero, which a sum with a bias does not keep
    } else {
      EXPECT_EQ(std::memcmp(got.data(), want.data(), got.size() * sizeof(float)), 0);
    }
  }
}

}  // namespace
}  // namespace quantfleet::pipeline
