#include "pipeline/format/onnx/onnx_stored.h"

#include <charconv>
#include <map>
#include <optional>

#include "common/base/bytes.h"
#include "common/base/outside_text.h"
#include "onnx/onnx.pb.h"

namespace quantfleet::pipeline {
namespace {

// A graph without its weights is far smaller; more is not ours.
constexpr uint64_t kMaxGraphBytes = uint64_t{64} << 20;

StoredTensor::Values ValuesOf(int type) {
  using Values = StoredTensor::Values;
  switch (type) {
    case onnx::TensorProto::FLOAT:
      return Values::kF32;
    case onnx::TensorProto::FLOAT16:
      return Values::kF16;
    case onnx::TensorProto::BFLOAT16:
      return Values::kBF16;
    case onnx::TensorProto::INT8:
    case onnx::TensorProto::INT4:
      return Values::kSignedCodes;
    case onnx::TensorProto::UINT8:
      return Values::kUnsignedCodes;
    default:
      return Values::kOther;
  }
}

// 0: a type whose values we do not count.
uint64_t OnnxValueBytes(int type) {
  switch (type) {
    case onnx::TensorProto::INT8:
    case onnx::TensorProto::UINT8:
    case onnx::TensorProto::BOOL:
      return 1;
    case onnx::TensorProto::FLOAT16:
    case onnx::TensorProto::BFLOAT16:
    case onnx::TensorProto::UINT16:
      return 2;
    case onnx::TensorProto::FLOAT:
    case onnx::TensorProto::INT32:
      return 4;
    case onnx::TensorProto::INT64:
      return 8;
    default:
      return 0;
  }
}

// The initializers of one model that lie in files beside it.
class ExternalTensors {
 public:
  ExternalTensors(FileSystem& files, const fs::path& folder, const std::string& path)
      : files_(files), whole_(folder / path), beside_(fs::path(path).parent_path()) {}

  absl::StatusOr<StoredTensor> Find(const onnx::TensorProto& tensor) {
    StoredTensor out{.name = tensor.name(),
                     .type = TypeName(tensor),
                     .shape = {tensor.dims().begin(), tensor.dims().end()},
                     .bytes = 0,
                     .file = "",
                     .offset = 0,
                     .values = ValuesOf(tensor.data_type())};
    std::string_view location;
    std::optional<uint64_t> length;
    for (const onnx::StringStringEntryProto& entry : tensor.external_data()) {
      if (entry.key() == "location") location = entry.value();
      if (entry.key() != "offset" && entry.key() != "length") continue;
      uint64_t number = 0;
      const char* end = entry.value().data() + entry.value().size();
      const auto [stopped, error] = std::from_chars(entry.value().data(), end, number);
      if (error != std::errc() || stopped != end)
        return Bad(tensor, fmt::format("its {} is not a number", entry.key()));
      if (entry.key() == "offset") out.offset = number;
      if (entry.key() == "length") length = number;
    }
    // A path would lead out of the folder.
    if (location.empty() || location == ".." || fs::path(location).filename() != location)
      return Bad(tensor, "its file is not in the model's folder");
    out.file = (beside_ / location).string();
    QF_ASSIGN_OR_RETURN(const uint64_t size, SizeOf(location));
    if (out.offset > size || length.value_or(0) > size - out.offset)
      return Bad(tensor, fmt::format("it is outside the {} bytes of {}", size, location));
    out.bytes = length.value_or(size - out.offset);
    if (const uint64_t each = OnnxValueBytes(tensor.data_type())) {
      std::optional<uint64_t> want = each;
      for (const int64_t dim : tensor.dims())
        want = want && dim >= 0 ? CheckedMul(*want, static_cast<uint64_t>(dim)) : std::nullopt;
      if (want != out.bytes)
        return Bad(tensor, fmt::format("its shape does not match its {} bytes", out.bytes));
    }
    return out;
  }

 private:
  static std::string TypeName(const onnx::TensorProto& tensor) {
    if (!onnx::TensorProto::DataType_IsValid(tensor.data_type()))
      return fmt::format("type {}", tensor.data_type());
    return onnx::TensorProto::DataType_Name(
        static_cast<onnx::TensorProto::DataType>(tensor.data_type()));
  }
  absl::Status Bad(const onnx::TensorProto& tensor, std::string_view what) const {
    return DataLoss("{}: tensor '{}': {}; download the artifact again", whole_.string(),
                    Shown(tensor.name(), 128), what);
  }
  absl::StatusOr<uint64_t> SizeOf(std::string_view location) {
    if (const auto known = sizes_.find(location); known != sizes_.end()) return known->second;
    QF_ASSIGN_OR_RETURN(const std::unique_ptr<File> file,
                        files_.Open(whole_.parent_path() / location, OpenMode::kOutside));
    QF_ASSIGN_OR_RETURN(const uint64_t size, file->Size());
    sizes_.emplace(location, size);
    return size;
  }

  FileSystem& files_;
  const fs::path whole_, beside_;
  std::map<std::string, uint64_t, std::less<>> sizes_;
};

absl::Status AddOnnx(FileSystem& files, const fs::path& folder, const std::string& path,
                     std::vector<StoredTensor>& out) {
  QF_ASSIGN_OR_RETURN(const std::string text, files.ReadAll(folder / path, kMaxGraphBytes));
  onnx::ModelProto model;
  if (!model.ParseFromString(text))
    return DataLoss("{} is not an ONNX model, or is truncated", (folder / path).string());
  ExternalTensors external(files, folder, path);
  for (const onnx::TensorProto& tensor : model.graph().initializer()) {
    if (tensor.data_location() != onnx::TensorProto::EXTERNAL) continue;
    QF_ASSIGN_OR_RETURN(out.emplace_back(), external.Find(tensor));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<StoredTensor>> StoredOnnxTensors(FileSystem& files,
                                                            const fs::path& folder,
                                                            const std::vector<std::string>& paths) {
  std::vector<StoredTensor> tensors;
  for (const std::string& path : paths)
    if (path.ends_with(".onnx")) QF_RETURN_IF_ERROR(AddOnnx(files, folder, path, tensors));
  return tensors;
}

}  // namespace quantfleet::pipeline
