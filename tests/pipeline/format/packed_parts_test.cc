// Parts of quantized weights: that they are read anywhere as they are read whole, and that those
// that do not fit one another or their config.json are refused by name. What they stand for is
// compared with the formats' definitions in tests/e2e/test_quantized_sources.py.
#include "pipeline/format/safetensors/packed_parts.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <cmath>
#include <cstring>

#include "pipeline/tensor/codec.h"
#include "tests/support/memory_file.h"
#include "tests/support/status_matchers.h"

namespace quantfleet::pipeline {
namespace {

using Method = HfQuantization::Method;
using Packing = CodeMatrix::Packing;

// A checkpoint's tensors, of random bytes unless a test gives them.
class PackedPartsTest : public ::testing::Test {
 protected:
  void Add(std::string name, std::string dtype, std::vector<int64_t> shape, std::string data = {}) {
    int64_t elements = 1;
    for (const int64_t dim : shape) elements *= dim;
    const int64_t each = dtype.starts_with("F8") || dtype == "U8" || dtype == "I8" ? 1
                         : dtype == "F16" || dtype == "BF16"                       ? 2
                         : dtype == "I64"                                          ? 8
                                                                                   : 4;
    const auto size = static_cast<size_t>(elements * each);
    if (data.empty())
      for (size_t i = 0; i < size; ++i) data += static_cast<char>(random_ = random_ * 75 % 65537);
    ShardTensor tensor;
    tensor.tensor = {std::move(name), std::move(dtype), {}, std::move(shape), bytes_.size(), size};
    tensor.path = "m.safetensors";
    tensors_.push_back(std::move(tensor));
    bytes_ += data;
  }
  static std::string I32(std::initializer_list<int32_t> values) {
    return std::string(reinterpret_cast<const char*>(values.begin()), values.size() * 4);
  }
  static std::string Shape(int64_t rows, int64_t cols) {
    const int64_t shape[] = {rows, cols};
    return std::string(reinterpret_cast<const char*>(shape), sizeof shape);
  }
  absl::StatusOr<std::vector<CheckpointWeight>> Join(const HfQuantization& quantization) {
    file_ = std::make_unique<testing::MemoryFile>(bytes_);
    for (ShardTensor& tensor : tensors_) tensor.file = file_.get();
    return JoinParts(quantization, tensors_);
  }
  void Clear() {
    tensors_.clear();
    bytes_.clear();
  }

  std::vector<ShardTensor> tensors_;
  std::string bytes_;
  std::unique_ptr<testing::MemoryFile> file_;
  uint32_t random_ = 1;
};

HfQuantization Of(Method method, int64_t bits, int64_t group) {
  HfQuantization out{.method = method, .name = "some"};
  out.schemes.push_back({bits, group, {}});
  return out;
}

HfQuantization Parsed(std::string_view json) {
  return *ParseHfQuantization(boost::json::parse({json.data(), json.size()}).get_object(), "c");
}

// --- what is read ---

TEST_F(PackedPartsTest, AnyRectangleOfCodesIsThatOfTheWhole) {
  constexpr int64_t kHeight = 64, kWidth = 96;
  for (const Packing packing : {Packing::kAlongRows, Packing::kDownColumns, Packing::kAwq})
    for (const int bits : {1, 2, 3, 4, 5, 6, 7, 8}) {
      if (packing == Packing::kAwq && bits != 4) continue;
      Clear();
      Add("x", "U8", {kHeight * kWidth});
      file_ = std::make_unique<testing::MemoryFile>(bytes_);
      const bool down = packing == Packing::kDownColumns;
      const CodeMatrix matrix{
          file_.get(), 0, bits, packing, kHeight, kWidth, down ? kWidth * 4 : kWidth * bits / 8};
      std::vector<uint8_t> whole, part;
      ASSERT_OK(matrix.Read(0, kHeight, 0, kWidth, false, whole));
      for (const uint8_t code : whole) ASSERT_LT(code, 1 << bits);
      for (const auto& [row, rows, col, cols] : {std::array<int64_t, 4>{0, 64, 0, 96},
                                                 {3, 7, 5, 11},
                                                 {63, 1, 95, 1},
                                                 {10, 30, 0, 96},
                                                 {31, 2, 8, 16},
                                                 {0, 64, 17, 1}})
        for (const bool turned : {false, true}) {
          ASSERT_OK(matrix.Read(row, rows, col, cols, turned, part));
          for (int64_t r = 0; r < rows; ++r)
            for (int64_t c = 0; c < cols; ++c)
              ASSERT_EQ(part[static_cast<size_t>(turned ? c * rows + r : r * cols + c)],
                        whole[static_cast<size_t>((row + r) * kWidth + col + c)])
                  << bits << " bits at " << row << ", " << col;
        }
    }
}

TEST_F(PackedPartsTest, AnyBytesOfAWeightAreThoseOfTheWhole) {
  Add("a.qweight", "I32", {64 * 3 / 32, 32});
  Add("a.qzeros", "I32", {2, 3});
  Add("a.scales", "BF16", {2, 32}, std::string(128, '\x3c'));
  const auto joined = Join(Of(Method::kGptq, 3, 32));
  ASSERT_OK(joined);
  ASSERT_EQ(joined->size(), 1u);
  const PackedWeight& weight = *joined->front().packed;
  EXPECT_EQ(joined->front().name, "a.weight");
  EXPECT_EQ(weight.Type(), DType::kF32);
  Bytes whole(32 * 64 * 4);
  ASSERT_OK(weight.Read(DType::kF32, 0, whole));
  for (const auto& [offset, size] : {std::pair<uint64_t, uint64_t>{0, 256},
                                     {256, 512},
                                     {3, 5},
                                     {250, 300},
                                     {8191, 1},
                                     {1000, 7192}}) {
    Bytes part(size);
    ASSERT_OK(weight.Read(DType::kF32, offset, part));
    EXPECT_TRUE(std::ranges::equal(part, ByteSpan(whole).subspan(offset, size))) << offset;
  }
}

// Blocks of one of our types stand for the values that the parts stand for.
TEST_F(PackedPartsTest, BlocksHaveTheValuesOfTheirParts) {
  const auto check = [&](const HfQuantization& quantization, DType type, int64_t matrices = 1) {
    const auto joined = Join(quantization);
    ASSERT_OK(joined);
    const PackedWeight& weight = *joined->front().packed;
    ASSERT_EQ(weight.Type(), type) << Info(weight.Type()).name;
    EXPECT_EQ(weight.matrices, matrices);
    const auto n = static_cast<size_t>(weight.rows * weight.cols);
    std::vector<float> values(n), decoded(n);
    ASSERT_OK(weight.Read(DType::kF32, 0, std::as_writable_bytes(std::span(values))));
    Bytes blocks(static_cast<size_t>(weight.rows * RowBytes(type, weight.cols)));
    ASSERT_OK(weight.Read(type, 0, blocks));
    FindCodec(type)->decode(blocks.data(), static_cast<int64_t>(n), decoded.data());
    EXPECT_EQ(values, decoded);
    Clear();
  };
  const auto halves = [](size_t n) {  // scales between 1 and 2
    std::string text;
    for (size_t i = 0; i < n; ++i) text += {static_cast<char>(i * 7), '\x3c'};
    return text;
  };
  for (const int64_t group : {32, 64, 128}) {
    for (const int64_t bits : {4, 8}) {
      const auto groups = static_cast<size_t>(128 / group);
      Add("x.weight", "U32", {3, 128 * bits / 32});
      Add("x.scales", "F16", {3, 128 / group}, halves(3 * groups));
      Add("x.biases", "F16", {3, 128 / group}, halves(3 * groups));
      HfQuantization mlx = Of(Method::kMlx, bits, group);
      mlx.schemes[0].mode = "affine";
      const auto kind = [&](GroupZero zero) {
        return GroupType({static_cast<int>(bits), group, zero});
      };
      check(mlx, kind(GroupZero::kBias));
      Add("x.weight_packed", "I32", {3, 128 * bits / 32});
      Add("x.weight_scale", "F16", {3, 128 / group}, halves(3 * groups));
      Add("x.weight_shape", "I64", {2}, Shape(3, 128));
      check(Of(Method::kCompressedTensors, bits, group), kind(GroupZero::kMiddle));
      Add("x.qweight", "I32", {128 * bits / 32, 8});
      Add("x.qzeros", "I32", {128 / group, 8 * bits / 32});
      Add("x.scales", "F16", {128 / group, 8}, halves(8 * groups));
      check(Of(Method::kGptq, bits, group), kind(GroupZero::kPoint));
    }
  }
  Add("x_blocks", "U8", {2, 5, 2, 16});  // two experts
  Add("x_scales", "U8", {2, 5, 2},
      std::string("\x70\x7f\x80\x01\x02", 5) + std::string(15, '\x7e'));
  check(Of(Method::kMxfp4, 4, 32), DType::kMXFP4, 2);
}

TEST_F(PackedPartsTest, EightBitFloatsAreOcps) {
  const CodeValues &e4m3 = E4M3Codes(), &e5m2 = E5M2Codes();
  EXPECT_EQ(e4m3[0x01], 0x1p-9f);
  EXPECT_EQ(e4m3[0x08], 0x1p-6f);
  EXPECT_EQ(e4m3[0x38], 1.f);
  EXPECT_EQ(e4m3[0x7e], 448.f);
  EXPECT_EQ(e4m3[0xfe], -448.f);
  EXPECT_TRUE(std::isnan(e4m3[0x7f]) && std::isnan(e4m3[0xff]));
  EXPECT_EQ(e5m2[0x01], 0x1p-16f);
  EXPECT_EQ(e5m2[0x3c], 1.f);
  EXPECT_EQ(e5m2[0x7b], 57344.f);
  EXPECT_TRUE(std::isinf(e5m2[0x7c]) && std::isnan(e5m2[0x7d]));
}

TEST_F(PackedPartsTest, WhatIsNotQuantizedIsLeftAsItIs) {
  Add("a.weight", "BF16", {4, 4});
  Add("b.weight", "F8_E4M3", {4, 4});
  Add("b.weight_scale", "F32", {1});
  Add("b.input_scale", "F32", {1});
  Add("b.bias", "BF16", {4});
  const auto joined = Join({.method = Method::kFp8, .name = "fp8"});
  ASSERT_OK(joined);
  ASSERT_EQ(joined->size(), 3u);
  EXPECT_FALSE((*joined)[0].packed);
  EXPECT_TRUE((*joined)[1].packed);
  EXPECT_EQ((*joined)[2].name, "b.bias");
}

// --- bad input ---

TEST_F(PackedPartsTest, Fp8WithoutScales) {
  Add("x.weight", "F8_E4M3", {4, 4});
  EXPECT_ERROR(Join({.method = Method::kFp8}), kInvalidArgument, "m.safetensors", "'x.weight'",
               "'x.weight_scale'", "original model");
}

TEST_F(PackedPartsTest, ScalesOfAnotherShape) {
  Add("x.weight", "F8_E4M3", {256, 256});
  Add("x.weight_scale_inv", "F32", {2, 3});
  EXPECT_ERROR(Join({.method = Method::kFp8, .block_rows = 128, .block_cols = 128}),
               kInvalidArgument, "m.safetensors", "'x.weight_scale_inv'", "'x.weight'",
               "blocks of 128 x 128");
  Clear();
  Add("x.weight", "U32", {4, 8});
  Add("x.scales", "F16", {4, 1});
  Add("x.biases", "F16", {4, 1});
  HfQuantization mlx = Of(Method::kMlx, 4, 32);
  EXPECT_ERROR(Join(mlx), kInvalidArgument, "'x.scales'", "4 bits");
  Clear();
  Add("x.qweight", "I32", {8, 8});
  Add("x.qzeros", "I32", {2, 1});
  Add("x.scales", "F16", {2, 16});
  EXPECT_ERROR(Join(Of(Method::kGptq, 4, 32)), kInvalidArgument, "'x.scales'", "[2, 8]");
}

TEST_F(PackedPartsTest, GroupsOfColumnsOutOfRange) {
  for (const int32_t group : {-1, 2}) {
    Clear();
    Add("x.qweight", "I32", {1, 8});
    Add("x.qzeros", "I32", {2, 1});
    Add("x.scales", "F16", {2, 8});
    Add("x.g_idx", "I32", {8}, I32({0, 0, 0, 0, 1, 1, group, 1}));
    EXPECT_ERROR(Join(Of(Method::kGptq, 4, 4)), kInvalidArgument, "m.safetensors", "'x.g_idx'",
                 "column 6", "2 groups");
  }
}

TEST_F(PackedPartsTest, ZeroPointsOfAnotherWidth) {
  Add("x.qweight", "I32", {8, 16});
  Add("x.qzeros", "I32", {2, 4});
  Add("x.scales", "F16", {2, 16});
  EXPECT_ERROR(Join(Of(Method::kGptq, 4, 32)), kInvalidArgument, "'x.qzeros'", "[2, 2]");
  Clear();
  Add("x.weight_packed", "I32", {16, 8});
  Add("x.weight_scale", "BF16", {16, 2});
  Add("x.weight_shape", "I64", {2}, Shape(16, 64));
  Add("x.weight_zero_point", "I8", {16, 2});
  EXPECT_ERROR(Join(Of(Method::kCompressedTensors, 4, 32)), kInvalidArgument,
               "'x.weight_zero_point'", "I32 [2, 2]");
}

TEST_F(PackedPartsTest, TensorsThatContradictTheirConfig) {
  Add("x.weight_packed", "I32", {16, 8});
  Add("x.weight_scale", "BF16", {16, 2});
  Add("x.weight_shape", "I64", {2}, Shape(16, 64));
  EXPECT_ERROR(Join(Of(Method::kCompressedTensors, 8, 32)), kInvalidArgument, "'x.weight_packed'",
               "16 x 64", "config.json", "8 bits");
  Clear();
  Add("x.weight_packed", "I32", {16, 8});
  Add("x.weight_scale", "BF16", {16, 2});
  Add("x.weight_shape", "I64", {2}, Shape(-1, int64_t{1} << 62));
  EXPECT_ERROR(Join(Of(Method::kCompressedTensors, 4, 32)), kInvalidArgument, "'x.weight_shape'");
  Clear();
  Add("x.qweight", "I32", {8, 8});
  EXPECT_ERROR(Join({.method = Method::kFp8}), kInvalidArgument, "'x.qweight'", "config.json",
               "GPTQ");
  Clear();
  Add("x.weight", "U32", {8, 8});
  EXPECT_ERROR(Join({}), kInvalidArgument, "'x.weight'", "config.json", "MLX");
}

TEST_F(PackedPartsTest, AsymmetricWeightsWithoutZeroPoints) {
  HfQuantization asymmetric = Of(Method::kCompressedTensors, 4, 32);
  asymmetric.schemes[0].asymmetric = true;
  Add("x.weight_packed", "I32", {16, 8});
  Add("x.weight_scale", "BF16", {16, 2});
  Add("x.weight_shape", "I64", {2}, Shape(16, 64));
  EXPECT_ERROR(Join(asymmetric), kInvalidArgument, "'x.weight_packed'", "'x.weight_zero_point'");
  Clear();
  Add("x.weight", "I8", {16, 64});
  Add("x.weight_scale", "BF16", {16, 1});
  EXPECT_ERROR(Join(asymmetric), kInvalidArgument, "'x.weight'", "'x.weight_zero_point'");
  EXPECT_OK(Join(Of(Method::kCompressedTensors, 8, -1)));
}

TEST_F(PackedPartsTest, BytesOfGroupsInAnotherOrder) {
  std::string order;
  for (int32_t column = 0; column < 64; ++column) order += I32({column % 2});
  Add("x.weight", "I8", {1, 64}, std::string(64, '\x02'));
  Add("x.weight_scale", "F32", {1, 2}, I32({0x3f800000, 0x40000000}));  // 1 and 2
  Add("x.weight_g_idx", "I32", {64}, order);
  const auto joined = Join(Of(Method::kCompressedTensors, 8, 32));
  ASSERT_OK(joined);
  ASSERT_EQ(joined->size(), 1u);
  std::vector<float> values(64);
  ASSERT_OK(
      joined->front().packed->Read(DType::kF32, 0, std::as_writable_bytes(std::span(values))));
  for (size_t c = 0; c < 64; ++c) EXPECT_EQ(values[c], c % 2 == 0 ? 2.f : 4.f) << c;
  tensors_.back().tensor.shape = {32};
  EXPECT_ERROR(Join(Of(Method::kCompressedTensors, 8, 32)), kInvalidArgument, "'x.weight_g_idx'");
}

TEST_F(PackedPartsTest, PartsThatAreMissing) {
  Add("x.qweight", "I32", {8, 8});
  Add("x.scales", "F16", {2, 8});
  EXPECT_ERROR(Join(Of(Method::kAwq, 4, 4)), kInvalidArgument, "'x.qweight'", "'x.qzeros'");
  Clear();
  Add("x_blocks", "U8", {8, 2, 16});
  EXPECT_ERROR(Join(Of(Method::kMxfp4, 4, 32)), kInvalidArgument, "'x_blocks'", "'x_scales'");
}

// --- config.json ---

TEST(HfQuantization, SaysHowWeightsAreQuantized) {
  const HfQuantization gptq =
      Parsed(R"({"quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": -1}})");
  EXPECT_EQ(gptq.method, Method::kGptq);
  EXPECT_TRUE(gptq.zero_points_plus_one);
  EXPECT_EQ(gptq.schemes.at(0).group, -1);
  const HfQuantization mlx = Parsed(R"({"quantization": {"group_size": 64, "bits": 4,
      "lm_head": {"group_size": 32, "bits": 8}, "model.norm": false},
      "quantization_config": {"group_size": 64, "bits": 4}})");
  EXPECT_EQ(mlx.method, Method::kMlx);
  EXPECT_EQ(mlx.modules.at("lm_head").bits, 8);
  EXPECT_EQ(mlx.modules.size(), 1u);
  const HfQuantization fp8 =
      Parsed(R"({"quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 64]}})");
  EXPECT_EQ(fp8.block_cols, 64);
  const HfQuantization modelopt =
      Parsed(R"({"quantization_config": {"quant_method": "modelopt", "quant_algo": "FP8"}})");
  EXPECT_EQ(modelopt.method, Method::kFp8);
  EXPECT_EQ(Parsed("{}").method, Method::kNone);
}

TEST(HfQuantization, RefusesWhatIsNotKnownByItsName) {
  const auto parse = [](std::string_view json) {
    return ParseHfQuantization(boost::json::parse({json.data(), json.size()}).get_object(), "c")
        .status();
  };
  EXPECT_ERROR(parse(R"({"quantization_config": {"quant_method": "bitsandbytes"}})"),
               kUnimplemented, "'bitsandbytes'", "gptq", "original");
  EXPECT_ERROR(parse(R"({"quantization_config": {"quant_method": "gptq", "bits": 4,
                         "checkpoint_format": "marlin"}})"),
               kUnimplemented, "'marlin'");
  EXPECT_ERROR(parse(R"({"quantization_config": {"quant_method": "modelopt",
                         "quant_algo": "NVFP4"}})"),
               kUnimplemented, "'NVFP4'");
  EXPECT_ERROR(parse(R"({"quantization_config": {"quant_method": "gptq", "bits": 5}})"),
               kInvalidArgument, "5");
  EXPECT_ERROR(parse(R"({"quantization_config": {"quant_method": "gptq"}})"), kInvalidArgument,
               "'bits'");
  EXPECT_ERROR(parse(R"({"quantization_config": {"quant_method": "awq", "bits": 4,
                         "version": "gemv"}})"),
               kUnimplemented, "'gemv'");
  EXPECT_ERROR(parse(R"({"quantization_config": {"quant_method": "compressed-tensors",
                         "format": "marlin-24", "config_groups": {}}})"),
               kUnimplemented, "'marlin-24'");
  EXPECT_ERROR(parse(R"({"quantization": {"group_size": 64, "bits": 4, "mode": "nvfp4"}})"),
               kUnimplemented, "'nvfp4'");
  EXPECT_ERROR(parse(R"({"quantization": {"group_size": 0, "bits": 4}})"), kInvalidArgument,
               "group size");
  EXPECT_ERROR(parse(R"({"quantization_config": {"quant_method": "fp8",
                         "weight_block_size": [128, 9999999999999]}})"),
               kInvalidArgument, "weight_block_size");
}

}  // namespace
}  // namespace quantfleet::pipeline
