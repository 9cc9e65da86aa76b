#include "pipeline/format/openvino/openvino_stored.h"

#include "pipeline/format/openvino/ir_file.h"

namespace quantfleet::pipeline {
namespace {

StoredTensor::Values ValuesOf(std::string_view type) {
  using Values = StoredTensor::Values;
  if (type == "f32") return Values::kF32;
  if (type == "f16") return Values::kF16;
  if (type == "bf16") return Values::kBF16;
  if (type == "i4" || type == "i8") return Values::kSignedCodes;
  if (type == "u4" || type == "u8") return Values::kUnsignedCodes;
  return Values::kOther;
}

absl::Status AddOpenVino(FileSystem& files, const fs::path& folder, const std::string& path,
                         std::vector<StoredTensor>& out) {
  QF_ASSIGN_OR_RETURN(const std::string text, files.ReadAll(folder / path, kMaxIrBytes));
  const std::string bin = fs::path(path).replace_extension(".bin").string();
  QF_ASSIGN_OR_RETURN(const std::unique_ptr<File> file,
                      files.Open(folder / bin, OpenMode::kOutside));
  QF_ASSIGN_OR_RETURN(const uint64_t bin_bytes, file->Size());
  QF_ASSIGN_OR_RETURN(const std::vector<IrConstant> constants,
                      ReadIrConstants(text, (folder / path).string(), bin_bytes));
  for (const IrConstant& c : constants)
    out.push_back({c.name, c.type, c.shape, c.size, bin, c.offset, ValuesOf(c.type)});
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<StoredTensor>> StoredOpenVinoTensors(
    FileSystem& files, const fs::path& folder, const std::vector<std::string>& paths) {
  std::vector<StoredTensor> tensors;
  for (const std::string& path : paths)
    if (path.ends_with("model.xml")) QF_RETURN_IF_ERROR(AddOpenVino(files, folder, path, tensors));
  return tensors;
}

}  // namespace quantfleet::pipeline
