// The table of element types against the codecs that it names.
#include "pipeline/tensor/traits.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <string>
#include <vector>

#include "common/base/bytes.h"
#include "pipeline/tensor/codec.h"
#include "pipeline/tensor/dtype.h"
#include "pipeline/tensor/part.h"
#include "pipeline/tensor/simd.h"

namespace quantfleet::pipeline {
namespace {

constexpr int64_t kRowElements = 100;  // of a type whose block is a row

class TraitsOfType : public ::testing::TestWithParam<DTypeInfo> {};
class TraitsOfMadeType : public ::testing::TestWithParam<DTypeInfo> {};

TEST(Traits, NamesAndNumbersAreEachOneTypes) {
  std::set<std::string_view> names;
  std::set<DType> types;
  std::set<uint32_t> ggml, files;
  for (const DTypeInfo& info : kDTypes) {
    SCOPED_TRACE(info.name);
    EXPECT_TRUE(names.insert(info.name).second);
    EXPECT_TRUE(types.insert(info.type).second);
    const auto named = DTypeFromName(info.name);
    EXPECT_EQ(named.ok(), info.made);
    if (named.ok()) {
      EXPECT_EQ(*named, info.type);
    }
    EXPECT_EQ(&Info(info.type), &info);
    ASSERT_EQ(info.ggml.has_value(),
              info.family != SchemeFamily::kGroup && info.family != SchemeFamily::kRow);
    if (!info.ggml) continue;
    EXPECT_TRUE(ggml.insert(info.ggml->type).second);
    EXPECT_TRUE(files.insert(info.ggml->file).second);
    EXPECT_EQ(DTypeFromNumber(info.ggml->type), info.type);
  }
  EXPECT_EQ(DTypeFromNumber(4), std::nullopt);
  EXPECT_EQ(FindInfo(static_cast<DType>(4)), nullptr);
}

TEST_P(TraitsOfType, TheCodecIsTheTypesOwn) {
  const DTypeInfo& info = GetParam();
  ASSERT_NE(info.codec, nullptr);
  EXPECT_EQ(info.codec->type, info.type);
  EXPECT_EQ(FindCodec(info.type)->type, info.type);
  EXPECT_EQ(info.codec->encode != nullptr, info.made);
  for (const NamedCodec& twin : SimdTwins(info.type)) EXPECT_EQ(twin.codec->type, info.type);
}

// A block of `values` is `block_bytes`, of which the codec writes each and none beyond.
TEST_P(TraitsOfMadeType, ABlockHasItsBytes) {
  const DTypeInfo& info = GetParam();
  const int64_t elements = BlockElements(info.type, kRowElements);
  std::vector<float> values(static_cast<size_t>(elements));
  for (size_t i = 0; i < values.size(); ++i) values[i] = std::sin(static_cast<float>(i + 1)) * 3.f;
  const auto size = static_cast<size_t>(BlockBytes(info.type, kRowElements));
  std::vector<bool> written(size + 1);
  for (const std::byte fill : {std::byte{0}, std::byte{0xff}}) {
    Bytes block(size + 1, fill);
    info.codec->encode(values.data(), 1, elements, nullptr, block.data());
    EXPECT_EQ(block.back(), fill);
    for (size_t i = 0; i < size; ++i) written[i] = written[i] || block[i] != fill;
  }
  EXPECT_TRUE(std::all_of(written.begin(), written.end() - 1, [](bool yes) { return yes; }));
}

// Where the halves are said to stand scaling all values by a power of two adds to an exponent.
TEST_P(TraitsOfMadeType, HalvesStandWhereTheTableSays) {
  const DTypeInfo& info = GetParam();
  const int64_t elements = BlockElements(info.type, kRowElements);
  std::vector<float> values(static_cast<size_t>(elements));
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = std::sin(static_cast<float>(i + 1)) + 0.25f;
  const auto halves_of = [&](float factor) {
    std::vector<float> scaled = values;
    for (float& v : scaled) v *= factor;
    Bytes block(static_cast<size_t>(BlockBytes(info.type, kRowElements)));
    info.codec->encode(scaled.data(), 1, elements, nullptr, block.data());
    std::vector<int> halves;
    for (int h = 0; h < info.halves.count; ++h)
      halves.push_back(Load<uint16_t>(block.data() + info.halves.at[h]));
    return halves;
  };
  const std::vector<int> once = halves_of(1), twice = halves_of(2);
  for (size_t h = 0; h < once.size(); ++h) EXPECT_EQ(twice[h] - once[h], 1 << 10);
  const bool none =
      info.type == DType::kF32 || info.type == DType::kBF16 || info.type == DType::kMXFP4;
  EXPECT_EQ(info.halves.count == 0, none);
}

TEST_P(TraitsOfMadeType, WhetherItMindsImportance) {
  const DTypeInfo& info = GetParam();
  std::vector<float> values(512), importance(512);
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = std::sin(static_cast<float>(i * i + 1));
    importance[i] = i % 7 == 0 ? 100.f : 0.01f;
  }
  const auto encode = [&](const float* weights) {
    Bytes blocks(static_cast<size_t>(RowBytes(info.type, 512)));
    info.codec->encode(values.data(), 1, 512, weights, blocks.data());
    return blocks;
  };
  EXPECT_EQ(encode(nullptr) != encode(importance.data()), info.weighs);
}

// Who is told to take the fallback gets a type of GGUF with smaller blocks and no less precise.
TEST_P(TraitsOfMadeType, TheFallbackDividesMoreRowsAndLosesNoMore) {
  const DTypeInfo& info = GetParam();
  const DTypeInfo& fallback = Info(info.fallback);
  EXPECT_TRUE(fallback.ggml.has_value());
  if (info.block_elements <= 1) return;
  EXPECT_LT(fallback.block_elements, info.block_elements);
  EXPECT_LT(fallback.expected_error, info.expected_error * 1.05);
}

TEST_P(TraitsOfType, PartsComeToTheBlocksCodes) {
  const DTypeInfo& info = GetParam();
  EXPECT_EQ(HasPart(info.type, Part::kCodes), info.codes.has_value());
  EXPECT_EQ(info.family == SchemeFamily::kGroup, GroupSchemeOf(info.type).has_value());
  if (!info.codes) return;
  EXPECT_EQ(info.codes->scheme.elements, info.block_elements);
  const int64_t elements = BlockElements(info.type, kRowElements);
  EXPECT_EQ(CodesAt(info.codes->scheme.zero) + PartRowBytes(Part::kCodes, info.type, elements),
            BlockBytes(info.type, kRowElements));
}

std::vector<DTypeInfo> MadeTypes() {
  std::vector<DTypeInfo> types;
  std::ranges::copy_if(kDTypes, std::back_inserter(types), &DTypeInfo::made);
  return types;
}

INSTANTIATE_TEST_SUITE_P(Types, TraitsOfMadeType, ::testing::ValuesIn(MadeTypes()),
                         [](const auto& type) { return std::string(type.param.name); });
INSTANTIATE_TEST_SUITE_P(Types, TraitsOfType, ::testing::ValuesIn(kDTypes),
                         [](const auto& type) { return std::string(type.param.name); });

}  // namespace
}  // namespace quantfleet::pipeline
