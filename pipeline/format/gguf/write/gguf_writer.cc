#include "pipeline/format/gguf/write/gguf_writer.h"

namespace quantfleet::pipeline {
namespace {

template <typename T>
void Put(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void PutText(std::string& out, std::string_view text) {
  Put<uint64_t>(out, text.size());
  out.append(text);
}

template <typename T>
void PutAll(std::string& out, std::span<const T> values) {
  out.append(AsText(std::as_bytes(values)));
}

}  // namespace

void GgufWriter::Key(std::string_view key, GgufType type) {
  ++kv_count_;
  PutText(kvs_, key);
  Put(kvs_, static_cast<uint32_t>(type));
}

void GgufWriter::Array(std::string_view key, GgufType element, uint64_t count) {
  Key(key, GgufType::kArray);
  Put(kvs_, static_cast<uint32_t>(element));
  Put(kvs_, count);
}

void GgufWriter::AddU32(std::string_view key, uint32_t value) {
  Key(key, GgufType::kU32);
  Put(kvs_, value);
}

void GgufWriter::AddI32(std::string_view key, int32_t value) {
  Key(key, GgufType::kI32);
  Put(kvs_, value);
}

void GgufWriter::AddF32(std::string_view key, float value) {
  Key(key, GgufType::kF32);
  Put(kvs_, value);
}

void GgufWriter::AddBool(std::string_view key, bool value) {
  Key(key, GgufType::kBool);
  Put<uint8_t>(kvs_, value ? 1 : 0);
}

void GgufWriter::AddText(std::string_view key, std::string_view value) {
  Key(key, GgufType::kString);
  PutText(kvs_, value);
}

void GgufWriter::AddTexts(std::string_view key, std::span<const std::string> values) {
  Array(key, GgufType::kString, values.size());
  for (const std::string& value : values) PutText(kvs_, value);
}

void GgufWriter::AddF32s(std::string_view key, std::span<const float> values) {
  Array(key, GgufType::kF32, values.size());
  PutAll(kvs_, values);
}

void GgufWriter::AddI32s(std::string_view key, std::span<const int32_t> values) {
  Array(key, GgufType::kI32, values.size());
  PutAll(kvs_, values);
}

uint64_t GgufWriter::AddTensor(std::string_view name, DType dtype, int64_t rows, int64_t cols,
                               int dims, int64_t matrices) {
  const uint64_t offset = data_size_;
  ++tensor_count_;
  PutText(tensors_, name);
  Put(tensors_, static_cast<uint32_t>(dims));
  Put(tensors_, cols);
  if (dims > 1) Put(tensors_, rows / matrices);
  if (dims > 2) Put(tensors_, matrices);
  Put(tensors_, Info(dtype).ggml->type);
  Put(tensors_, offset);
  data_size_ = RoundUp(offset + static_cast<uint64_t>(rows * RowBytes(dtype, cols)), kAlignment);
  return offset;
}

std::string GgufWriter::Header() const {
  std::string out = "GGUF";
  Put<uint32_t>(out, 3);
  Put(out, tensor_count_);
  Put(out, kv_count_);
  out += kvs_;
  out += tensors_;
  out.resize(RoundUp(out.size(), kAlignment), '\0');
  return out;
}

}  // namespace quantfleet::pipeline
