// Codecs against ggml's own bytes, scalar code against its twins, and the arithmetic of halves.
#include "pipeline/tensor/codec.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <limits>
#include <random>
#include <vector>

#include "common/base/file.h"
#include "pipeline/tensor/codecs.h"
#include "pipeline/tensor/half.h"
#include "pipeline/tensor/simd.h"
#include "pipeline/tensor/unpacked.h"

namespace quantfleet::pipeline {
namespace {

constexpr DType kTypes[] = {
    DType::kF32,    DType::kF16,   DType::kBF16, DType::kQ8_0, DType::kQ4_0, DType::kQ4_1,
    DType::kQ5_0,   DType::kQ5_1,  DType::kQ4_K, DType::kQ5_K, DType::kQ6_K, DType::kIQ4_NL,
    DType::kIQ4_XS, DType::kMXFP4, DType::kQ3_K, DType::kQ2_K, DType::kIQ3_S};
constexpr DType kWeighable[] = {DType::kQ4_0,   DType::kQ4_1, DType::kQ5_0, DType::kQ5_1,
                                DType::kQ4_K,   DType::kQ5_K, DType::kQ6_K, DType::kIQ4_NL,
                                DType::kIQ4_XS, DType::kQ3_K, DType::kQ2_K, DType::kIQ3_S};
constexpr int64_t kCols = 256;
// What the whole reference has, which is older than the others.
constexpr auto kOlder = std::span(kTypes).first(11);
constexpr auto kOlderWeighable = std::span(kWeighable).first(7);

Bytes ReadFile(const fs::path& path) {
  auto content = RealFileSystem().ReadAll(path);
  EXPECT_TRUE(content.ok()) << path << ": " << content.status();
  if (!content.ok()) return {};
  const ByteSpan bytes = AsBytes(*content);
  return Bytes(bytes.begin(), bytes.end());
}

std::vector<float> ReadFloats(const fs::path& path) {
  const Bytes bytes = ReadFile(path);
  std::vector<float> values(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), values.size() * sizeof(float));
  return values;
}

Bytes Encode(const Codec& codec, const std::vector<float>& values, int64_t cols,
             const float* importance = nullptr) {
  const int64_t rows = static_cast<int64_t>(values.size()) / cols;
  Bytes out(static_cast<size_t>(rows * RowBytes(codec.type, cols)));
  codec.encode(values.data(), rows, cols, importance, out.data());
  return out;
}

// Rows of every kind that a quantizer meets: normal, heavy-tailed, ties, zeros, tiny, subnormal.
std::vector<float> RandomRows(int64_t rows, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<size_t>(rows * kCols));
  for (int64_t r = 0; r < rows; ++r) {
    const float scale = std::ldexp(1.f, static_cast<int>(random() % 250) - 140);
    for (int64_t c = 0; c < kCols; ++c) {
      float v = normal(random) * scale;
      if (r % 3 == 1) v = std::round(normal(random) * 2) * scale;
      if (r % 7 == 2) v = 0.f;
      values[r * kCols + c] = v;
    }
  }
  return values;
}

// Values that are ordinary, enough rows of them to fill any twin's lanes.
std::vector<float> Waves() {
  std::vector<float> values(static_cast<size_t>(16 * kCols));
  for (size_t i = 0; i < values.size(); ++i) values[i] = std::sin(static_cast<float>(i * i + 1));
  return values;
}

void ExpectSameBlocks(DType type, const Bytes& ours, const Bytes& reference, int64_t cols) {
  ASSERT_EQ(ours.size(), reference.size());
  const size_t row_bytes = static_cast<size_t>(RowBytes(type, cols));
  for (size_t i = 0; i < ours.size(); ++i) {
    ASSERT_EQ(ours[i], reference[i])
        << Info(type).name << ": row " << i / row_bytes << ", byte " << i % row_bytes;
  }
}

// ggml takes a sub-block of zeros for none in IQ3_S: the codes and signs of those behind it are
// then one place too early, and stand for something else. Our rows are right.
bool MisplacedByGgml(const float* row) {
  bool zeros = false;
  for (int64_t at = 0; at < kCols; at += 32) {
    const bool zero = std::all_of(row + at, row + at + 32, [](float v) { return v == 0.f; });
    if (zeros && !zero) return true;
    zeros = zeros || zero;
  }
  return false;
}

void ExpectGgmlsBlocks(DType type, const std::vector<float>& input, const Bytes& ours,
                       const Bytes& reference) {
  if (type != DType::kIQ3_S) return ExpectSameBlocks(type, ours, reference, kCols);
  ASSERT_EQ(ours.size(), reference.size());
  const auto row_bytes = static_cast<size_t>(RowBytes(type, kCols));
  size_t misplaced = 0;
  for (size_t row = 0; row < ours.size() / row_bytes; ++row) {
    if (MisplacedByGgml(input.data() + row * kCols)) {
      ++misplaced;
      continue;
    }
    EXPECT_TRUE(std::ranges::equal(ByteSpan(ours).subspan(row * row_bytes, row_bytes),
                                   ByteSpan(reference).subspan(row * row_bytes, row_bytes)))
        << "row " << row;
  }
  EXPECT_LT(misplaced, ours.size() / row_bytes / 8);
}

void CompareWithFolder(const fs::path& folder, std::span<const DType> types,
                       std::span<const DType> weighable) {
  const std::vector<float> input = ReadFloats(folder / "input.f32");
  ASSERT_FALSE(input.empty());
  for (DType type : types) {
    if (type == DType::kF32) continue;
    const Bytes reference = ReadFile(folder / fmt::format("{}.bin", Info(type).name));
    ExpectGgmlsBlocks(type, input, Encode(*FindScalarCodec(type), input, kCols), reference);
    ExpectGgmlsBlocks(type, input, Encode(*FindCodec(type), input, kCols), reference);
  }
  const std::vector<float> importance = ReadFloats(folder / "imatrix.f32");
  ASSERT_EQ(importance.size(), static_cast<size_t>(kCols));
  for (DType type : weighable) {
    const Bytes reference = ReadFile(folder / fmt::format("{}_imatrix.bin", Info(type).name));
    for (const Codec* codec : {FindScalarCodec(type), FindCodec(type)})
      ExpectGgmlsBlocks(type, input, Encode(*codec, input, kCols, importance.data()), reference);
  }
}

TEST(Codec, EqualsGgmlByteForByte) {
  CompareWithFolder(fs::path(QUANTFLEET_SOURCE_DIR) / "tests/data/ggml-blocks", kTypes, kWeighable);
}

TEST(Codec, EqualsGgmlOnTheWholeReference) {
  const char* shared = std::getenv("QUANTFLEET_SHARED");
  if (shared == nullptr)
    GTEST_SKIP() << "QUANTFLEET_SHARED is not set: only the part in tests/data is compared";
  CompareWithFolder(fs::path(shared) / "reference/ggml-blocks", kOlder, kOlderWeighable);
}

// Blocks of random bits that ggml decoded, of all types that are only read and of some that are
// made.
TEST(Codec, DecodesAnyBitsAsGgmlDoes) {
  const fs::path folder = fs::path(QUANTFLEET_SOURCE_DIR) / "tests/data/ggml-blocks/decoded";
  int types = 0;
  for (const DTypeInfo& info : kDTypes) {
    const fs::path made = folder / fmt::format("{}.bin", info.name);
    if (info.made && !fs::exists(made)) continue;
    ++types;
    const Bytes blocks = ReadFile(folder / fmt::format("{}.bin", info.name));
    const std::vector<float> reference = ReadFloats(folder / fmt::format("{}.f32", info.name));
    const auto n = std::ssize(reference);
    ASSERT_GT(n, 0);
    ASSERT_EQ(std::ssize(blocks), RowBytes(info.type, n));
    std::vector<float> ours(reference.size());
    FindCodec(info.type)->decode(blocks.data(), n, ours.data());
    EXPECT_EQ(std::memcmp(ours.data(), reference.data(), ours.size() * sizeof(float)), 0)
        << info.name;
    std::vector<float> ones(reference.size(), 1.f);
    double sum = 0, size = 0;
    for (const float v : reference) sum += v, size += std::fabs(v);
    EXPECT_NEAR(FindCodec(info.type)->dot(blocks.data(), ones.data(), n), sum, 1e-5 * size)
        << info.name;
  }
  EXPECT_EQ(types, 17);
}

// A kernel makes room for so large codes and no larger ones.
TEST(Codec, UnpackedCodesAreAsLargeAsTheTableSays) {
  std::mt19937_64 random(9);
  int types = 0;
  for (const DTypeInfo& info : kDTypes) {
    const bool unpacked =
        info.integer_products && info.integer_products->layout == BlockLayout::kUnpacked;
    ASSERT_EQ(info.codec->unpack != nullptr, unpacked) << info.name;
    if (!unpacked) continue;
    ++types;
    Bytes bits(static_cast<size_t>(info.block_bytes));
    int largest = 0;
    for (int n = 0; n < 2000; ++n) {
      for (std::byte& b : bits) b = static_cast<std::byte>(random());
      UnpackedBlock block;
      info.codec->unpack(bits.data(), block);
      for (const int8_t code : block.codes) largest = std::max(largest, std::abs(int{code}));
    }
    EXPECT_EQ(largest, info.integer_products->largest_code) << info.name;
  }
  EXPECT_EQ(types, 10);
}

// Where the scale is NaN so is every value, also where the scale lies in four pieces: whoever reads
// the tensor finds it.
TEST(Codec, AScaleThatIsNaNIsFoundInTheValues) {
  for (DType type : {DType::kIQ1_S, DType::kIQ1_M, DType::kIQ2_XXS, DType::kIQ2_XS, DType::kIQ2_S,
                     DType::kIQ3_XXS, DType::kIQ3_S, DType::kQ2_0}) {
    const DTypeInfo& info = Info(type);
    Bytes block(static_cast<size_t>(info.block_bytes), std::byte{0x11});
    if (type == DType::kIQ1_M) {
      for (size_t i = 0; i < 4; ++i) block[49 + 2 * i] = i == 3 ? std::byte{0x71} : std::byte{0xf1};
    } else {
      block[0] = std::byte{0xff}, block[1] = std::byte{0x7f};
    }
    std::vector<float> values(static_cast<size_t>(info.block_elements));
    FindCodec(type)->decode(block.data(), info.block_elements, values.data());
    for (const float v : values) EXPECT_TRUE(std::isnan(v)) << info.name;
    EXPECT_EQ(FindNonFinite(values.data(), info.block_elements), 0) << info.name;
  }
}

// ggml divides by 0 where a block's columns have no importance at all, and llama-quantize then
// fails.
TEST(Codec, ABlockWithoutImportanceIsSearchedAsIfThereWereNone) {
  const std::vector<float> values = Waves();
  const std::vector<float> none(kCols, 0.f);
  for (const Codec* codec : {FindScalarCodec(DType::kIQ4_NL), FindCodec(DType::kIQ4_NL)})
    EXPECT_EQ(Encode(*codec, values, kCols, none.data()), Encode(*codec, values, kCols));
}

TEST(Codec, WhatFollowsZerosHasItsPlaceInIq3) {
  std::vector<float> values = Waves();
  std::fill_n(values.begin() + 64, 32, 0.f);
  for (const Codec* codec : {FindScalarCodec(DType::kIQ3_S), FindCodec(DType::kIQ3_S)}) {
    std::vector<float> back(values.size());
    codec->decode(Encode(*codec, values, kCols).data(), std::ssize(values), back.data());
    double error = 0, power = 0;
    for (size_t i = 96; i < kCols; ++i) {
      error += (back[i] - values[i]) * (back[i] - values[i]);
      power += values[i] * values[i];
    }
    EXPECT_LT(error, 0.05 * power);
    EXPECT_TRUE(std::all_of(back.begin() + 64, back.begin() + 96,
                            [](float v) { return std::fabs(v) < 0.05f; }));
  }
}

// Beyond what the search takes no scale in half precision is finite: whoever writes blocks finds
// and refuses it, in a sub-block of any place.
TEST(Codec, ValuesTooLargeForASearchHaveAnInfiniteScale) {
  for (DType type : {DType::kIQ4_NL, DType::kIQ4_XS, DType::kIQ3_S}) {
    for (const float large : {1e9f, 1e20f, -3e38f}) {
      std::vector<float> values = Waves();
      values[5] = large;
      for (const Codec* codec : {FindScalarCodec(type), FindCodec(type)})
        EXPECT_EQ(Load<uint16_t>(Encode(*codec, values, kCols).data()) & 0x7fff, 0x7c00)
            << Info(type).name << " " << large;
    }
  }
}

TEST(Codec, TwinsGiveTheScalarBits) {
  const std::vector<float> values = RandomRows(600, 7);
  std::vector<float> importance(kCols);
  for (size_t i = 0; i < importance.size(); ++i)
    importance[i] = i % 17 == 0 ? 0.f : static_cast<float>(i % 29);
  for (DType type : kTypes) {
    const Codec& scalar = *FindScalarCodec(type);
    for (const auto& [name, twin] : SimdTwins(type)) {
      SCOPED_TRACE(name);
      // One long row, rows of one super-block, rows of 96: tails of every kind.
      for (int64_t cols : {kCols * 600, kCols, int64_t{96}}) {
        if (!Divides(type, cols)) continue;
        const Bytes blocks = Encode(scalar, values, cols);
        ExpectSameBlocks(type, Encode(*twin, values, cols), blocks, cols);
        std::vector<float> a(values.size()), b(values.size());
        const int64_t n = static_cast<int64_t>(values.size()) / cols * cols;
        scalar.decode(blocks.data(), n, a.data());
        twin->decode(blocks.data(), n, b.data());
        ASSERT_EQ(std::memcmp(a.data(), b.data(), a.size() * sizeof(float)), 0) << Info(type).name;
        const float dots[] = {scalar.dot(blocks.data(), values.data(), n),
                              twin->dot(blocks.data(), values.data(), n)};
        EXPECT_EQ(std::memcmp(&dots[0], &dots[1], sizeof(float)), 0)
            << Info(type).name;  // bits: NaN counts
      }
      ExpectSameBlocks(type, Encode(*twin, values, kCols, importance.data()),
                       Encode(scalar, values, kCols, importance.data()), kCols);
    }
  }
}

#if defined(__aarch64__)
// Whatever else the CPU has, AES for one, which Highway's own choice asks for.
TEST(Codec, EveryAarch64HasTheNeonTwin) {
  for (DType type : kTypes) {
    if (type == DType::kF32) continue;
    const std::vector<NamedCodec> twins = SimdTwins(type);
    ASSERT_EQ(twins.size(), 1u);
    EXPECT_EQ(twins[0].name, "NEON");
    EXPECT_EQ(FindCodec(type), twins[0].codec);
  }
}
#endif

TEST(Codec, ARowOfAnyLengthIsEncodedWhole) {
  for (DType type : {DType::kF16, DType::kBF16}) {
    for (int64_t cols : {1, 7, 63, 65, 172}) {
      std::vector<float> values(static_cast<size_t>(2 * cols));
      for (size_t i = 0; i < values.size(); ++i)
        values[i] = static_cast<float>(i % 64) * 0.25f - 9.f;
      const Bytes blocks = Encode(*FindCodec(type), values, cols);
      std::vector<float> back(values.size());
      FindCodec(type)->decode(blocks.data(), 2 * cols, back.data());
      EXPECT_EQ(back, values) << Info(type).name << " x " << cols;
    }
  }
}

TEST(Codec, ErrorStaysUnderGgmlsOwnBound) {
  // llama.cpp tests/test-quantize-fns.cpp: 0.1 + 2 cos(i), sqrt(sum e^2) / n < 0.002, of some more.
  const auto bound = [](DType type) {
    return type == DType::kQ2_K    ? 0.0075
           : type == DType::kQ3_K  ? 0.004
           : type == DType::kIQ3_S ? 0.004
           : type == DType::kMXFP4 ? 0.003
                                   : 0.002;
  };
  std::vector<float> values(4096), back(4096);
  for (size_t i = 0; i < values.size(); ++i) values[i] = 0.1f + 2 * std::cos(static_cast<float>(i));
  for (DType type : kTypes) {
    const Codec& codec = *FindCodec(type);
    const Bytes blocks = Encode(codec, values, 4096);
    codec.decode(blocks.data(), 4096, back.data());
    double sum = 0, dot = 0;
    for (size_t i = 0; i < values.size(); ++i) {
      sum += (values[i] - back[i]) * (values[i] - back[i]);
      dot += back[i] * values[i];
    }
    EXPECT_LT(std::sqrt(sum) / 4096, bound(type)) << Info(type).name;
    EXPECT_NEAR(codec.dot(blocks.data(), values.data(), 4096), dot, 1e-4 * dot) << Info(type).name;
  }
}

TEST(Codec, UnknownTypesHaveNone) {
  EXPECT_EQ(FindCodec(static_cast<DType>(99)), nullptr);
  EXPECT_EQ(DTypeFromNumber(4), std::nullopt);
  EXPECT_EQ(DTypeFromNumber(30), DType::kBF16);
  EXPECT_EQ(*DTypeFromName("Q4_0"), DType::kQ4_0);
  EXPECT_EQ(DTypeFromName("int3").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(DTypeFromName("iq3_xxs").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_FALSE(Divides(DType::kQ8_0, 172));
  EXPECT_EQ(RowBytes(DType::kQ4_0, 256), 144);
}

TEST(Half, EveryHalfSurvivesTheRoundTrip) {
  for (uint32_t h = 0; h < 0x10000; ++h) {
    const float value = HalfToFloat(static_cast<uint16_t>(h));
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(HalfToFloat(FloatToHalf(value))));
    } else {
      ASSERT_EQ(FloatToHalf(value), h);
    }
  }
}

TEST(Half, RoundsBetweenNeighboursToTheEvenOne) {
  for (uint32_t h = 0; h < 0x7bff; ++h) {
    const double low = HalfToFloat(static_cast<uint16_t>(h)),
                 high = HalfToFloat(static_cast<uint16_t>(h + 1));
    const float middle = static_cast<float>((low + high) / 2);
    ASSERT_EQ(FloatToHalf(middle), h % 2 == 0 ? h : h + 1) << h;
    ASSERT_EQ(FloatToHalf(std::nextafter(middle, 0.f)), h) << h;
    ASSERT_EQ(FloatToHalf(std::nextafter(middle, 1e9f)), h + 1) << h;
    ASSERT_EQ(FloatToHalf(-middle), (h % 2 == 0 ? h : h + 1) | 0x8000) << h;
  }
  EXPECT_EQ(FloatToHalf(65519.f), 0x7bff);
  EXPECT_EQ(FloatToHalf(65520.f), 0x7c00);
  EXPECT_EQ(FloatToHalf(1e30f), 0x7c00);
}

TEST(Half, BFloatRoundsToEvenAndKeepsNaN) {
  EXPECT_EQ(FloatToBFloat(std::bit_cast<float>(0x3f808000u)), 0x3f80);
  EXPECT_EQ(FloatToBFloat(std::bit_cast<float>(0x3f818000u)), 0x3f82);
  EXPECT_EQ(FloatToBFloat(std::bit_cast<float>(0x3f808001u)), 0x3f81);
  EXPECT_TRUE(std::isnan(BFloatToFloat(FloatToBFloat(std::bit_cast<float>(0x7f800001u)))));
}

TEST(FindNonFinite, NamesTheFirst) {
  std::vector<float> values(1000, 1.f);
  const int64_t n = static_cast<int64_t>(values.size());
  EXPECT_EQ(FindNonFinite(values.data(), n), -1);
  EXPECT_EQ(FindNonFinite(values.data(), 0), -1);
  values[998] = -std::numeric_limits<float>::infinity();
  EXPECT_EQ(FindNonFinite(values.data(), n), 998);
  values[130] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(FindNonFinite(values.data(), n), 130);
  EXPECT_EQ(FindNonFinite(values.data(), 130), -1);
}

}  // namespace
}  // namespace quantfleet::pipeline
