#include "pipeline/format/openvino/ir_constants.h"

#include <fmt/core.h>

#include "common/base/bytes.h"

namespace quantfleet::pipeline {
namespace {

template <typename T>
std::string BytesOf(const std::vector<T>& values) {
  return std::string(AsText(std::as_bytes(std::span(values))));
}

}  // namespace

IrValue IrConstants::True() { return Stored(IrType::kBoolean, {}, "\x01"); }

IrValue IrConstants::Float(float value, size_t dims) { return Floats(IrShape(dims, 1), {value}); }

IrValue IrConstants::Floats(const IrShape& shape, const std::vector<float>& values) {
  return Stored(IrType::kF32, shape, BytesOf(values));
}

IrValue IrConstants::Integers(const IrShape& shape, const std::vector<int64_t>& values) {
  return Stored(IrType::kI64, shape, BytesOf(values));
}

IrValue IrConstants::Smalls(const IrShape& shape, const std::vector<int32_t>& values) {
  return Stored(IrType::kI32, shape, BytesOf(values));
}

IrValue IrConstants::Bytes(std::string_view bytes) {
  return Stored(IrType::kU8, {static_cast<int64_t>(bytes.size())}, std::string(bytes));
}

IrValue IrConstants::Stored(IrType type, const IrShape& shape, std::string bytes) {
  const std::string key = fmt::format("{}[{}]", IrName(type), IrText(shape)) + bytes;
  if (const auto it = known_.find(key); it != known_.end()) return it->second;
  const uint64_t size = bytes.size();
  const IrValue value = graph_.Constant(fmt::format("constant.{}", known_.size()), type, shape,
                                        begin_ + bytes_.size(), size);
  bytes_ += bytes;
  bytes_.resize(RoundUp(bytes_.size(), 8), '\0');
  known_.emplace(key, value);
  return value;
}

}  // namespace quantfleet::pipeline
