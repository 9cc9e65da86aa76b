#include "pipeline/format/onnx/onnx_data.h"

#include "pipeline/tensor/codec.h"

namespace quantfleet::pipeline {
namespace {

constexpr uint64_t kPage = 4096;

}  // namespace

int OnnxType(DType dtype, Part part) {
  switch (part) {
    case Part::kCodes:
      return onnx::TensorProto::UINT8;
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

void OnnxData::Point(std::string name, int type, const std::vector<int64_t>& dims, uint64_t offset,
                     uint64_t size) {
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
  entry("location", std::string(kOnnxDataFile));
  entry("offset", fmt::format("{}", offset));
  entry("length", fmt::format("{}", size));
}

void OnnxData::AddPart(std::string name, const OutputTensor& tensor, DType dtype, Part part,
                       std::vector<int64_t> dims) {
  const uint64_t begin = file_.file.size;
  uint64_t at = begin;
  for (const uint32_t p : tensor.pieces) {
    const Piece& piece = model_.pieces[p];
    file_.pieces.push_back({.piece = p,
                            .file = 0,
                            .offset = at,
                            .dtype = dtype,
                            .order = RowOrder::kHf,
                            .padding = 0,
                            .tensor = tensor.name,
                            .part = part});
    at += static_cast<uint64_t>(piece.rows * PartRowBytes(part, dtype, piece.cols));
  }
  file_.file.size = RoundUp(at, kPage);
  file_.pieces.back().padding = static_cast<uint32_t>(file_.file.size - at);
  Point(std::move(name), OnnxType(dtype, part), dims, begin, at - begin);
}

void OnnxData::AddView(std::string name, std::string_view of, std::vector<int64_t> dims) {
  const onnx::TensorProto* original = Find(of);
  if (original == nullptr) return;  // our bug: the graph would name what is not there, and its check says so
  onnx::TensorProto view = *original;
  view.set_name(std::move(name));
  view.clear_dims();
  for (const int64_t dim : dims) view.add_dims(dim);
  *graph_.add_initializer() = std::move(view);
}

void OnnxData::AddValues(std::string name, std::vector<int64_t> dims, DType type,
                         const std::vector<float>& values) {
  const auto n = static_cast<int64_t>(values.size());
  const auto size = static_cast<uint64_t>(RowBytes(type, n));
  std::string bytes(RoundUp(size, kPage), '\0');
  FindCodec(type)->encode(values.data(), 1, n, nullptr, reinterpret_cast<std::byte*>(bytes.data()));
  const uint64_t begin = file_.file.size;
  file_.file.size += bytes.size();
  file_.file.fixed.push_back({begin, std::move(bytes)});
  Point(std::move(name), OnnxType(type, Part::kBlocks), dims, begin, size);
}

}  // namespace quantfleet::pipeline
