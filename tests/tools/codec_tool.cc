// Encodes and decodes raw rows with one codec, for tests and comparisons with other
// implementations:
//   codec_tool encode TYPE COLS IN.f32 OUT.bin [--importance F.f32]
//   codec_tool encode TYPE COLS IN.f32 OUT.bin --moments H.f32   (with feedback)
//   codec_tool decode TYPE COLS IN.bin OUT.f32
#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <limits>
#include <string_view>
#include <vector>

#include "common/base/file.h"
#include "pipeline/tensor/codec.h"
#include "pipeline/tensor/rounding/rounder.h"

namespace quantfleet::pipeline {
namespace {

constexpr uint64_t kLimit = uint64_t{8} << 30;

absl::StatusOr<const Codec*> CodecFor(std::string_view type_name, int64_t cols) {
  // Types that are only read among them.
  const auto* const info = std::ranges::find(kDTypes, type_name, &DTypeInfo::name);
  if (info == std::end(kDTypes)) return DTypeFromName(type_name).status();
  const DType type = info->type;
  const Codec* codec = FindCodec(type);
  if (!Divides(type, cols)) {
    return InvalidArgument("COLS {} does not consist of whole blocks: {} has {} elements a block",
                           cols, type_name, Info(type).block_elements);
  }
  return codec;
}

absl::StatusOr<int64_t> CountRows(const fs::path& in, uint64_t size, int64_t row_bytes) {
  if (size % static_cast<uint64_t>(row_bytes) != 0)
    return InvalidArgument("{}: {} bytes are not whole rows of {} bytes", in.string(), size,
                           row_bytes);
  return static_cast<int64_t>(size) / row_bytes;
}

// One row: a weight, not below 0, for each column.
absl::StatusOr<std::vector<float>> ReadImportance(const fs::path& path, int64_t cols) {
  QF_ASSIGN_OR_RETURN(const std::string content, RealFileSystem().ReadAll(path, kLimit));
  std::vector<float> weights(static_cast<size_t>(cols));
  if (content.size() != weights.size() * sizeof(float))
    return InvalidArgument("{}: {} bytes are not one row of {} floats", path.string(),
                           content.size(), cols);
  std::memcpy(weights.data(), content.data(), content.size());
  for (int64_t i = 0; i < cols; ++i) {
    const float weight = weights[static_cast<size_t>(i)];
    if (!(weight >= 0.f && weight <= std::numeric_limits<float>::max()))
      return InvalidArgument("{}: column {} has the importance {}", path.string(), i, weight);
  }
  return weights;
}

// The lower triangle of the inputs' second moments, row by row. Their diagonal is the importance.
absl::Status FeedBack(const fs::path& moments, DType type, int64_t cols,
                      const std::vector<float>& values, Bytes& out) {
  const BlockGrid* grid = FindBlockGrid(type);
  if (grid == nullptr) return InvalidArgument("{} is rounded to the nearest", Info(type).name);
  QF_ASSIGN_OR_RETURN(const std::string content, RealFileSystem().ReadAll(moments, kLimit));
  std::vector<float> triangle(static_cast<size_t>(cols * (cols + 1) / 2));
  if (content.size() != triangle.size() * sizeof(float))
    return InvalidArgument("{}: {} bytes are not a triangle of {} columns", moments.string(),
                           content.size(), cols);
  std::memcpy(triangle.data(), content.data(), content.size());
  std::vector<float> diagonal;
  for (int64_t i = 0; i < cols; ++i)
    diagonal.push_back(triangle[static_cast<size_t>(i * (i + 3) / 2)]);
  QF_ASSIGN_OR_RETURN(const ColumnFactor factor,
                      ColumnFactor::Build(cols, [&triangle](uint64_t first, std::span<float> part) {
                        std::copy_n(triangle.begin() + static_cast<ptrdiff_t>(first), part.size(),
                                    part.begin());
                        return absl::OkStatus();
                      }));
  const int64_t rows = static_cast<int64_t>(values.size()) / cols;
  Rounder rounder;
  rounder.Search(*grid, values.data(), rows, cols, diagonal.data(), out.data());
  rounder.FeedBack(*grid, factor, values.data(), rows, cols, out.data());
  return absl::OkStatus();
}

// The two files behind are empty when there is none; at most one is given.
absl::Status Run(std::string_view verb, std::string_view type, int64_t cols, const fs::path& in,
                 const fs::path& out, const fs::path& importance, const fs::path& moments) {
  QF_ASSIGN_OR_RETURN(const Codec* codec, CodecFor(type, cols));
  QF_ASSIGN_OR_RETURN(const std::string content, RealFileSystem().ReadAll(in, kLimit));
  const int64_t plain_row = cols * static_cast<int64_t>(sizeof(float));
  const int64_t block_row = RowBytes(codec->type, cols);
  const bool encode = verb == "encode";
  if (encode && codec->encode == nullptr) return DTypeFromName(type).status();
  QF_ASSIGN_OR_RETURN(const int64_t rows,
                      CountRows(in, content.size(), encode ? plain_row : block_row));

  std::vector<float> values(static_cast<size_t>(rows * cols));
  Bytes result(static_cast<size_t>(rows * (encode ? block_row : plain_row)));
  if (encode) {
    std::memcpy(values.data(), content.data(), content.size());
    if (const int64_t bad = FindNonFinite(values.data(), rows * cols); bad >= 0)
      return InvalidArgument("{}: row {}, column {} is NaN or infinite", in.string(), bad / cols,
                             bad % cols);
    std::vector<float> weights;
    if (!importance.empty()) {
      QF_ASSIGN_OR_RETURN(weights, ReadImportance(importance, cols));
    }
    if (moments.empty())
      codec->encode(values.data(), rows, cols, weights.empty() ? nullptr : weights.data(),
                    result.data());
    else
      QF_RETURN_IF_ERROR(FeedBack(moments, codec->type, cols, values, result));
  } else {
    codec->decode(AsBytes(content).data(), rows * cols, values.data());
    std::memcpy(result.data(), values.data(), result.size());
  }
  QF_ASSIGN_OR_RETURN(auto file, RealFileSystem().Open(out, OpenMode::kCreate));
  QF_RETURN_IF_ERROR(file->Resize(result.size()));
  return file->WriteAt(0, result);
}

int Main(int argc, char** argv) {
  const std::string_view verb = argc > 1 ? argv[1] : "";
  const std::string_view option = argc == 8 && verb == "encode" ? argv[6] : "";
  const bool weighed = option == "--importance", feeds_back = option == "--moments";
  const bool shaped =
      (argc == 6 && (verb == "encode" || verb == "decode")) || weighed || feeds_back;
  int64_t cols = 0;
  if (shaped) {
    const char* end = argv[3] + std::strlen(argv[3]);
    const auto [stop, error] = std::from_chars(argv[3], end, cols);
    if (error != std::errc() || stop != end || cols > (int64_t{1} << 30)) cols = 0;
  }
  if (cols <= 0) {
    fmt::print(stderr,
               "usage: codec_tool encode TYPE COLS IN.f32 OUT.bin [--importance F.f32]\n"
               "       codec_tool encode TYPE COLS IN.f32 OUT.bin --moments H.f32\n"
               "       codec_tool decode TYPE COLS IN.bin OUT.f32\n"
               "TYPE is f32, f16, bf16, q8_0, q4_0, q4_1, q5_0, q5_1, q4_k, q5_k, q6_k, "
               "q3_k, q2_k, iq4_nl, iq4_xs, mxfp4, iq3_s, ... (decode only) or a group's as "
               "u4_g128; COLS the\n"
               "elements of one row, above 0; F.f32 one row of weights, H.f32\n"
               "the lower triangle of the second moments, row by row\n");
    return 2;
  }
  const absl::Status status =
      Run(verb, argv[2], cols, argv[4], argv[5], weighed ? argv[7] : "", feeds_back ? argv[7] : "");
  if (status.ok()) return 0;
  fmt::print(stderr, "codec_tool: {}\n", Describe(status));
  return 1;
}

}  // namespace
}  // namespace quantfleet::pipeline

int main(int argc, char** argv) { return quantfleet::pipeline::Main(argc, argv); }
