#include "pipeline/format/safetensors/safetensors_file.h"

#include <algorithm>

#include "pipeline/format/safetensors/header_parser.h"

namespace quantfleet::pipeline {
namespace {

constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // the format's own limit

struct Known {
  std::string_view name;
  uint64_t bytes;
  std::optional<DType> dtype;
};
constexpr Known kKnown[] = {
    {"F32", 4, DType::kF32}, {"F16", 2, DType::kF16}, {"BF16", 2, DType::kBF16},
    {"F64", 8, {}},          {"I64", 8, {}},          {"I32", 4, {}},
    {"I16", 2, {}},          {"I8", 1, {}},           {"U64", 8, {}},
    {"U32", 4, {}},          {"U16", 2, {}},          {"U8", 1, {}},
    {"BOOL", 1, {}},         {"F8_E4M3", 1, {}},      {"F8_E5M2", 1, {}},
    {"F8_E8M0", 1, {}},
};

absl::StatusOr<SafetensorsTensor> Check(const RawTensor& raw, uint64_t data_at,
                                        uint64_t data_size) {
  const Known* known = std::ranges::find(kKnown, raw.dtype, &Known::name);
  if (known == std::end(kKnown))
    return Unimplemented("tensor '{}' has the unknown dtype '{}'", raw.name, raw.dtype);
  std::optional<uint64_t> bytes = known->bytes;
  for (const int64_t dim : raw.shape)
    if (bytes) bytes = CheckedMul(*bytes, static_cast<uint64_t>(dim));
  if (!bytes)
    return InvalidArgument("the product of the dimensions of tensor '{}' overflows", raw.name);
  if (raw.begin > raw.end)
    return InvalidArgument("tensor '{}' ends (at {}) before it begins (at {})", raw.name, raw.end,
                           raw.begin);
  if (raw.end - raw.begin != *bytes)
    return InvalidArgument(
        "tensor '{}' has {} bytes according to its data_offsets, but {} according to its shape and "
        "dtype {}",
        raw.name, raw.end - raw.begin, *bytes, raw.dtype);
  if (raw.end > data_size)
    return DataLoss(
        "tensor '{}' reaches to byte {} of the data, but there are only {}: is the file truncated?",
        raw.name, raw.end, data_size);
  return SafetensorsTensor{raw.name,  raw.dtype,           known->dtype,
                           raw.shape, data_at + raw.begin, *bytes};
}

// The format allows no gap and no overlap: sorted by offset, each tensor begins where the last one
// ends.
absl::Status CheckCoverage(const std::vector<SafetensorsTensor>& tensors, uint64_t data_at,
                           uint64_t file_size) {
  uint64_t at = data_at;
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (tensors[i].offset < at)
      return InvalidArgument("tensors '{}' and '{}' overlap", tensors[i - 1].name, tensors[i].name);
    if (tensors[i].offset > at)
      return InvalidArgument("there is a gap of {} bytes before tensor '{}'",
                             tensors[i].offset - at, tensors[i].name);
    at += tensors[i].size;
  }
  if (at != file_size)
    return InvalidArgument("{} bytes at the end belong to no tensor", file_size - at);
  return absl::OkStatus();
}

absl::Status Parse(const File& file, std::vector<SafetensorsTensor>& tensors, Digest& digest) {
  QF_ASSIGN_OR_RETURN(const uint64_t size, file.Size());
  uint64_t length = 0;
  if (size < sizeof length) return DataLoss("{} bytes are too few for a safetensors file", size);
  QF_RETURN_IF_ERROR(file.ReadAt(0, std::as_writable_bytes(std::span(&length, 1))));
  if (length > kMaxHeaderBytes)
    return InvalidArgument(
        "the header claims {} bytes; the maximum is {}: is this a safetensors file?", length,
        kMaxHeaderBytes);
  if (length > size - sizeof length)
    return DataLoss("the header claims {} bytes, but the file has only {}: is the file truncated?",
                    length, size);
  std::string header(length, '\0');
  QF_RETURN_IF_ERROR(file.ReadAt(sizeof length, std::as_writable_bytes(std::span(header))));
  digest = HashText(header);
  QF_ASSIGN_OR_RETURN(const std::vector<RawTensor> raw, ParseSafetensorsHeader(header));
  const uint64_t data_at = sizeof length + length;
  for (const RawTensor& r : raw) {
    QF_ASSIGN_OR_RETURN(SafetensorsTensor tensor, Check(r, data_at, size - data_at));
    tensors.push_back(std::move(tensor));
  }
  // Empty tensors before what begins at the same byte.
  std::ranges::sort(tensors, [](const SafetensorsTensor& a, const SafetensorsTensor& b) {
    return std::pair(a.offset, a.size) < std::pair(b.offset, b.size);
  });
  return CheckCoverage(tensors, data_at, size);
}

}  // namespace

absl::StatusOr<SafetensorsFile> SafetensorsFile::Read(const File& file, std::string_view name) {
  SafetensorsFile out;
  out.name_ = std::string(name);
  QF_RETURN_IF_ERROR(Annotate(Parse(file, out.tensors_, out.header_digest_), name));
  return out;
}

}  // namespace quantfleet::pipeline
