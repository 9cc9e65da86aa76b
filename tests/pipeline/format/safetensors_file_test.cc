#include "pipeline/format/safetensors/safetensors_file.h"

#include <gtest/gtest.h>

#include "tests/support/memory_file.h"
#include "tests/support/status_matchers.h"
#include "tests/support/tiny_model.h"

namespace quantfleet::pipeline {
namespace {

using testing::MemoryFile;
using testing::SafetensorsBytes;

absl::StatusOr<SafetensorsFile> Read(std::string bytes) {
  return SafetensorsFile::Read(MemoryFile(std::move(bytes)), "m.safetensors");
}
absl::StatusOr<SafetensorsFile> ReadHeader(std::string_view header, size_t data) {
  return Read(SafetensorsBytes(header, std::string(data, '\0')));
}

TEST(SafetensorsFile, ReadsTensorsByOffset) {
  const auto file = ReadHeader(
      R"({"__metadata__":{"format":"pt","note":"free text"},
          "b":{"dtype":"BF16","shape":[2,3],"data_offsets":[4,16]},
          "a":{"data_offsets":[0,4],"shape":[1],"dtype":"F32"},
          "scalar":{"dtype":"F16","shape":[],"data_offsets":[16,18]},
          "empty":{"dtype":"F32","shape":[0,7],"data_offsets":[4,4]}}   )",
      18);
  ASSERT_OK(file);
  ASSERT_EQ(file->tensors().size(), 4u);
  EXPECT_EQ(file->tensors()[0].name, "a");
  EXPECT_EQ(file->tensors()[0].dtype, DType::kF32);
  EXPECT_EQ(file->tensors()[1].name, "empty");
  EXPECT_EQ(file->tensors()[2].name, "b");
  EXPECT_EQ(file->tensors()[2].shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(file->tensors()[2].size, 12u);
  EXPECT_EQ(file->tensors()[3].size, 2u);
}

TEST(SafetensorsFile, KnowsTypesThatItDoesNotRead) {
  const auto file = ReadHeader(R"({"ids":{"dtype":"I64","shape":[2],"data_offsets":[0,16]}})", 16);
  ASSERT_OK(file);
  EXPECT_FALSE(file->tensors()[0].dtype.has_value());
  EXPECT_EQ(file->tensors()[0].dtype_name, "I64");
}

TEST(SafetensorsFile, EveryTruncationIsAnError) {
  const std::string whole = SafetensorsBytes(
      R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", std::string(8, 'x'));
  ASSERT_OK(Read(whole));
  for (size_t n = 0; n < whole.size(); ++n) EXPECT_FALSE(Read(whole.substr(0, n)).ok()) << n;
}

TEST(SafetensorsFile, RefusesALyingLength) {
  std::string bytes = SafetensorsBytes("{}", "");
  Store<uint64_t>(reinterpret_cast<std::byte*>(bytes.data()), ~uint64_t{0});
  EXPECT_ERROR(Read(bytes), kInvalidArgument, "claims 18446744073709551615 bytes");
  Store<uint64_t>(reinterpret_cast<std::byte*>(bytes.data()), 99'000'000);
  EXPECT_ERROR(Read(bytes), kDataLoss, "only 10");
  EXPECT_ERROR(Read("abc"), kDataLoss, "too few");
}

TEST(SafetensorsFile, RefusesOtherJson) {
  for (const char* header :
       {"", "[]", "7", "null", "{", "{\"a\":1}", "{\"a\":[]}", "{} x",
        "{\"a\":{\"dtype\":\"F32\"}}", R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}})",
        R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,4]}})",
        R"({"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}})",
        R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})",
        R"({"a":{"dtype":"F32","shape":[[1]],"data_offsets":[0,4]}})",
        R"({"a":{"dtype":4,"shape":[1],"data_offsets":[0,4]}})",
        R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"more":1}})",
        R"({"__metadata__":{"a":{}}})"})
    EXPECT_EQ(ReadHeader(header, 4).status().code(), absl::StatusCode::kInvalidArgument) << header;
}

TEST(SafetensorsFile, RefusesDuplicates) {
  EXPECT_ERROR(ReadHeader(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},
                              "a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
                          8),
               kInvalidArgument, "'a'", "more than once");
  EXPECT_ERROR(
      ReadHeader(R"({"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 4),
      kInvalidArgument, "'dtype'", "more than once");
}

TEST(SafetensorsFile, RefusesBadOffsets) {
  const auto one = [](std::string_view shape, std::string_view offsets, size_t data) {
    return ReadHeader(fmt::format(R"({{"a":{{"dtype":"F32","shape":[{}],"data_offsets":[{}]}}}})",
                                  shape, offsets),
                      data);
  };
  EXPECT_OK(one("2", "0,8", 8));
  EXPECT_ERROR(one("2", "8,0", 8), kInvalidArgument, "before it begins");
  EXPECT_ERROR(one("3", "0,8", 8), kInvalidArgument, "8 bytes", "data_offsets", "12");
  EXPECT_ERROR(one("2", "0,8", 4), kDataLoss, "'a'", "byte 8");
  EXPECT_ERROR(one("2", "0,8", 9), kInvalidArgument, "1 bytes");
  EXPECT_ERROR(one("2", "4,12", 12), kInvalidArgument, "gap of 4 bytes");
  EXPECT_ERROR(one("4611686018427387904,4", "0,8", 8), kInvalidArgument, "overflow");
  EXPECT_ERROR(one("9223372036854775807", "0,18446744073709551615", 8), kInvalidArgument,
               "overflow");
  EXPECT_ERROR(one("2", "18446744073709551608,18446744073709551615", 8), kInvalidArgument,
               "7 bytes");
  EXPECT_ERROR(one("1,1,1,1,1,1,1,1,1", "0,4", 4), kInvalidArgument, "8 dimensions");
}

TEST(SafetensorsFile, RefusesOverlaps) {
  EXPECT_ERROR(ReadHeader(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},
                              "b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})",
                          12),
               kInvalidArgument, "'a'", "'b'", "overlap");
}

TEST(SafetensorsFile, RefusesUnknownTypes) {
  EXPECT_ERROR(ReadHeader(R"({"a":{"dtype":"F31","shape":[1],"data_offsets":[0,4]}})", 4),
               kUnimplemented, "'a'", "'F31'");
}

}  // namespace
}  // namespace quantfleet::pipeline
