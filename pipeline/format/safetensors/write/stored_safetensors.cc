#include "pipeline/format/safetensors/write/stored_safetensors.h"

#include "pipeline/format/safetensors/safetensors_file.h"

namespace quantfleet::pipeline {
namespace {

StoredTensor::Values ValuesOf(std::string_view type) {
  using Values = StoredTensor::Values;
  if (type == "F32") return Values::kF32;
  if (type == "F16") return Values::kF16;
  if (type == "BF16") return Values::kBF16;
  if (type == "U32" || type == "I32") return Values::kUnsignedCodes;
  if (type == "I8") return Values::kSignedCodes;
  return Values::kOther;
}

absl::Status AddSafetensors(FileSystem& files, const fs::path& folder, const std::string& path,
                            std::vector<StoredTensor>& out) {
  const fs::path whole = folder / path;
  QF_ASSIGN_OR_RETURN(const std::unique_ptr<File> file, files.Open(whole, OpenMode::kOutside));
  QF_ASSIGN_OR_RETURN(const SafetensorsFile header, SafetensorsFile::Read(*file, whole.string()));
  for (const SafetensorsTensor& t : header.tensors())
    out.push_back({t.name, t.dtype_name, t.shape, t.size, path, t.offset, ValuesOf(t.dtype_name)});
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<StoredTensor>> StoredSafetensors(FileSystem& files,
                                                            const fs::path& folder,
                                                            const std::vector<std::string>& paths) {
  std::vector<StoredTensor> tensors;
  for (const std::string& path : paths)
    if (path.ends_with(".safetensors"))
      QF_RETURN_IF_ERROR(AddSafetensors(files, folder, path, tensors));
  return tensors;
}

}  // namespace quantfleet::pipeline
