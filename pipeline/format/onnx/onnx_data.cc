#include "pipeline/format/onnx/onnx_data.h"

#include "pipeline/tensor/codec.h"

namespace quantfleet::pipeline {

int OnnxType(DType dtype, Part part) {
  switch (part) {
    case Part::kCodes:
    case Part::kZeroPoints:
    case Part::kPointStream:
      return onnx::TensorProto::UINT8;
    case Part::kSignedCodes:
      return CodeBits(dtype) == 4 ? onnx::TensorProto::INT4 : onnx::TensorProto::INT8;
    case Part::kScales:
    case Part::kBiases:
      return onnx::TensorProto::FLOAT16;
    case Part::kScales32:
      return onnx::TensorProto::FLOAT;
    case Part::kBlocks:
      break;
  }
  return dtype == DType::kF16 ? onnx::TensorProto::FLOAT16 : onnx::TensorProto::FLOAT;
}

const onnx::TensorProto* OnnxData::Find(std::string_view name) const {
  for (const onnx::TensorProto& tensor : graph_.initializer())
    if (tensor.name() == name) return &tensor;
  return nullptr;
}

std::vector<int64_t> OnnxData::Shape(std::string_view name) const {
  const onnx::TensorProto* tensor = Find(name);
  if (tensor == nullptr) return {};
  return {tensor->dims().begin(), tensor->dims().end()};
}

DataFile& OnnxData::FileFor(uint64_t bytes) {
  const uint64_t used = files_.back().size();
  if (used > 0 && used + bytes > most_)
    files_.emplace_back(model_, fmt::format("{}_{}", path_, files_.size()), kPage);
  return files_.back();
}

std::vector<PlannedFile> OnnxData::TakeFiles() {
  std::vector<PlannedFile> files;
  for (DataFile& file : files_) files.push_back(file.Take());
  return files;
}

void OnnxData::Point(std::string name, int type, const std::vector<int64_t>& dims,
                     const DataFile::Region& region) {
  onnx::TensorProto& tensor = *graph_.add_initializer();
  tensor.set_name(std::move(name));
  tensor.set_data_type(type);
  for (const int64_t dim : dims) tensor.add_dims(dim);
  tensor.set_data_location(onnx::TensorProto::EXTERNAL);
  const auto entry = [&](const char* key, std::string value) {
    onnx::StringStringEntryProto& e = *tensor.add_external_data();
    e.set_key(key);
    e.set_value(std::move(value));
  };
  // In the folder of the graph.
  entry("location", files_.back().path().substr(files_.back().path().rfind('/') + 1));
  entry("offset", fmt::format("{}", region.offset));
  entry("length", fmt::format("{}", region.size));
}

void OnnxData::AddPart(std::string name, const OnnxTensor& tensor, Part part,
                       std::vector<int64_t> dims) {
  const int64_t row_bytes = PartRowBytes(part, tensor.dtype, tensor.is.cols);
  DataFile& file = FileFor(static_cast<uint64_t>(tensor.is.rows * row_bytes));
  Point(std::move(name), OnnxType(tensor.dtype, part), dims,
        file.AddPart(tensor.is, tensor.dtype, part));
}

void OnnxData::AddView(std::string name, std::string_view of, std::vector<int64_t> dims) {
  const onnx::TensorProto* original = Find(of);
  if (original == nullptr)
    return;  // our bug: the graph would name what is not there, and its check says so
  onnx::TensorProto view = *original;
  view.set_name(std::move(name));
  view.clear_dims();
  for (const int64_t dim : dims) view.add_dims(dim);
  *graph_.add_initializer() = std::move(view);
}

void OnnxData::AddValues(std::string name, std::vector<int64_t> dims, DType type,
                         const std::vector<float>& values) {
  const auto n = static_cast<int64_t>(values.size());
  std::string bytes(static_cast<size_t>(RowBytes(type, n)), '\0');
  FindCodec(type)->encode(values.data(), 1, n, nullptr, reinterpret_cast<std::byte*>(bytes.data()));
  AddBytes(std::move(name), std::move(dims), OnnxType(type, Part::kBlocks), std::move(bytes));
}

void OnnxData::AddBytes(std::string name, std::vector<int64_t> dims, int type, std::string bytes) {
  DataFile& file = FileFor(bytes.size());
  Point(std::move(name), type, dims, file.AddBytes(std::move(bytes)));
}

}  // namespace quantfleet::pipeline
