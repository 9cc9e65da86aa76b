#include "pipeline/format/openvino/ir_operations.h"

#include <limits>

namespace quantfleet::pipeline {
IrValue IrOperations::Compare(IrOp op, std::string name, IrValue a, IrValue b) {
  return graph_.Add(op, std::move(name), {a, b}, {{"auto_broadcast", "numpy"}}, IrType::kBoolean,
                    BroadcastShape(graph_.ShapeOf(a), graph_.ShapeOf(b)));
}

IrValue IrOperations::Select(std::string name, IrValue condition, IrValue yes, IrValue no) {
  const IrShape shape = BroadcastShape(graph_.ShapeOf(condition),
                                       BroadcastShape(graph_.ShapeOf(yes), graph_.ShapeOf(no)));
  return graph_.Add(kSelect, std::move(name), {condition, yes, no}, {{"auto_broadcast", "numpy"}},
                    IrType::kF32, shape);
}

IrValue IrOperations::Unsqueeze(std::string name, IrValue x, const std::vector<int64_t>& axes) {
  IrShape shape = graph_.ShapeOf(x);
  for (const int64_t axis : axes) shape.insert(shape.begin() + axis, 1);
  return graph_.Add(kUnsqueeze, std::move(name), {x, constants_.Vector(axes)}, {},
                    graph_.Of(x).type, shape);
}

IrValue IrOperations::Concat(std::string name, const std::vector<IrValue>& parts, size_t axis) {
  IrShape shape = graph_.ShapeOf(parts[0]);
  for (size_t i = 1; i < parts.size(); ++i) {
    const int64_t size = graph_.ShapeOf(parts[i])[axis];
    shape[axis] = shape[axis] == kAnySize || size == kAnySize ? kAnySize : shape[axis] + size;
  }
  return graph_.Add(kConcat, std::move(name), parts, {{"axis", fmt::format("{}", axis)}},
                    graph_.Of(parts[0]).type, shape);
}

std::vector<IrValue> IrOperations::Split(std::string name, IrValue x,
                                         const std::vector<int64_t>& sizes) {
  std::vector<IrOutput> outputs;
  for (const int64_t size : sizes) {
    outputs.push_back(graph_.Of(x));
    outputs.back().shape.back() = size;
  }
  const IrValue first = graph_.Add(
      kSplit, std::move(name), {x, constants_.Integer(-1), constants_.Vector(sizes)}, {}, outputs);
  std::vector<IrValue> parts;
  for (uint32_t i = 0; i < sizes.size(); ++i) parts.push_back({first.layer, i});
  return parts;
}

IrValue IrOperations::Reshape(std::string name, IrValue x, const std::vector<int64_t>& pattern) {
  IrShape shape = pattern;
  for (size_t i = 0; i < shape.size(); ++i)
    if (pattern[i] == 0) shape[i] = graph_.ShapeOf(x)[i];
  return graph_.Add(kReshape, std::move(name), {x, constants_.Vector(pattern)},
                    {{"special_zero", "true"}}, graph_.Of(x).type, shape);
}

IrValue IrOperations::SwapMiddle(std::string name, IrValue x) {
  IrShape shape = graph_.ShapeOf(x);
  std::swap(shape[1], shape[2]);
  return graph_.Add(kTranspose, std::move(name), {x, constants_.Vector({0, 2, 1, 3})}, {},
                    IrType::kF32, shape);
}

IrValue IrOperations::SizeOf(const char* name, IrValue shape, int64_t axis) {
  return graph_.Add(kGather, name, {shape, constants_.Integer(axis), constants_.Integer(0)},
                    {{"batch_dims", "0"}}, IrType::kI64, {});
}

IrValue IrOperations::Range(const char* name, IrValue from, IrValue to) {
  return graph_.Add({"Range", "opset4"}, name, {from, to, constants_.Integer(1)},
                    {{"output_type", "i64"}}, IrType::kI64, {kAnySize});
}

IrValue IrOperations::Whole(std::string name, IrValue x) {
  return graph_.Add(
      {"Slice", "opset8"}, std::move(name),
      {x, constants_.Vector({0}), constants_.Vector({std::numeric_limits<int64_t>::max()}),
       constants_.Vector({1}), constants_.Vector({3})},
      {}, IrType::kF32, graph_.ShapeOf(x));
}

IrValue IrOperations::MatMul(std::string name, IrValue a, IrValue b, bool turned, IrShape shape) {
  return graph_.Add({"MatMul", "opset1"}, std::move(name), {a, b},
                    {{"transpose_a", "false"}, {"transpose_b", turned ? "true" : "false"}},
                    IrType::kF32, std::move(shape));
}

IrValue IrOperations::Scaled(std::string name, IrValue x, float scale) {
  if (scale == 1) return x;
  return graph_.Elementwise(kMultiply, std::move(name), x,
                            constants_.Float(scale, graph_.ShapeOf(x).size()));
}

IrValue IrOperations::Capped(const std::string& name, IrValue x, float cap) {
  if (cap == 0) return x;
  const IrValue narrowed = Scaled(name + "/narrowed", x, 1 / cap);
  const IrValue bent = graph_.Add({"Tanh", "opset1"}, name + "/bent", {narrowed}, {}, IrType::kF32,
                                  graph_.ShapeOf(x));
  return graph_.Elementwise(kMultiply, name, bent, constants_.Float(cap, graph_.ShapeOf(x).size()));
}

IrValue IrOperations::MeanOfLast(std::string name, IrValue x) {
  IrShape one = graph_.ShapeOf(x);
  one.back() = 1;
  return graph_.Add({"ReduceMean", "opset1"}, std::move(name), {x, constants_.Vector({-1})},
                    {{"keep_dims", "true"}}, IrType::kF32, one);
}

}  // namespace quantfleet::pipeline
