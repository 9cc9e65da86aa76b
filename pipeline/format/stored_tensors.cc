#include "pipeline/format/stored_tensors.h"

#include <charconv>

#include "onnx/onnx.pb.h"
#include "pipeline/format/openvino/ir_file.h"
#include "pipeline/format/safetensors/safetensors_file.h"

namespace quantfleet::pipeline {
namespace {

// A graph without its weights is far smaller; more is not ours.
constexpr uint64_t kMaxGraphBytes = uint64_t{64} << 20;

absl::Status AddSafetensors(FileSystem& files, const fs::path& path, std::vector<StoredTensor>& out) {
  QF_ASSIGN_OR_RETURN(const std::unique_ptr<File> file, files.Open(path, OpenMode::kRead));
  QF_ASSIGN_OR_RETURN(const SafetensorsFile header, SafetensorsFile::Read(*file, path.string()));
  for (const SafetensorsTensor& t : header.tensors()) out.push_back({t.name, t.dtype_name, t.shape, t.size});
  return absl::OkStatus();
}

uint64_t LengthOf(const onnx::TensorProto& tensor) {
  uint64_t length = 0;
  for (const onnx::StringStringEntryProto& entry : tensor.external_data())
    if (entry.key() == "length")
      std::from_chars(entry.value().data(), entry.value().data() + entry.value().size(), length);
  return length;
}

absl::Status AddOnnx(FileSystem& files, const fs::path& path, std::vector<StoredTensor>& out) {
  QF_ASSIGN_OR_RETURN(const std::string text, files.ReadAll(path, kMaxGraphBytes));
  onnx::ModelProto model;
  if (!model.ParseFromString(text)) return DataLoss("{} is not an ONNX model, or is cut", path.string());
  for (const onnx::TensorProto& tensor : model.graph().initializer()) {
    if (tensor.data_location() != onnx::TensorProto::EXTERNAL) continue;
    const bool known = onnx::TensorProto::DataType_IsValid(tensor.data_type());
    out.push_back({tensor.name(),
                   known ? onnx::TensorProto::DataType_Name(
                               static_cast<onnx::TensorProto::DataType>(tensor.data_type()))
                         : fmt::format("type {}", tensor.data_type()),
                   {tensor.dims().begin(), tensor.dims().end()},
                   LengthOf(tensor)});
  }
  return absl::OkStatus();
}

absl::Status AddOpenVino(FileSystem& files, const fs::path& path, std::vector<StoredTensor>& out) {
  QF_ASSIGN_OR_RETURN(const std::string text, files.ReadAll(path, kMaxIrBytes));
  fs::path bin = path;
  bin.replace_extension(".bin");
  QF_ASSIGN_OR_RETURN(const std::unique_ptr<File> file, files.Open(bin, OpenMode::kRead));
  QF_ASSIGN_OR_RETURN(const uint64_t bin_bytes, file->Size());
  QF_ASSIGN_OR_RETURN(const std::vector<IrConstant> constants,
                      ReadIrConstants(text, path.string(), bin_bytes));
  for (const IrConstant& c : constants) out.push_back({c.name, c.type, c.shape, c.size});
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<StoredTensor>> StoredTensors(FileSystem& files, const fs::path& folder,
                                                        const std::vector<std::string>& paths) {
  std::vector<StoredTensor> tensors;
  for (const std::string& path : paths) {
    if (path.ends_with(".safetensors")) QF_RETURN_IF_ERROR(AddSafetensors(files, folder / path, tensors));
    if (path.ends_with(".onnx")) QF_RETURN_IF_ERROR(AddOnnx(files, folder / path, tensors));
    if (path.ends_with(".xml")) QF_RETURN_IF_ERROR(AddOpenVino(files, folder / path, tensors));
  }
  return tensors;
}

}  // namespace quantfleet::pipeline
