// Builds the XML of an OpenVINO model (IR version 11): layers with typed and shaped ports, and the
// edges between them. Constants are offsets into the .bin file. Not thread-safe.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace quantfleet::pipeline {

enum class IrType { kF32, kF16, kI64, kI32, kI8, kU8, kI4, kU4, kBoolean, kString };
std::string_view IrName(IrType type);  // "f32", as attributes spell it

inline constexpr int64_t kAnySize = -1;  // a dimension that is known at run time
using IrShape = std::vector<int64_t>;
std::string IrText(const IrShape& shape);  // "?,8,96"

// Numpy's rules; what is known at run time stays so beside a 1.
IrShape BroadcastShape(const IrShape& a, const IrShape& b);

// An output of a layer.
struct IrValue {
  uint32_t layer = 0, output = 0;
};

struct IrOutput {
  IrType type;
  IrShape shape;
};

// A layer's kind: the name of an operation and the set that defines it.
struct IrOp {
  const char* type;
  const char* version;
};

class IrGraph {
 public:
  using Attributes = std::vector<std::pair<const char*, std::string>>;

  // Adds a layer; the returned value is its first output, further ones have the next numbers.
  IrValue Add(IrOp op, std::string name, const std::vector<IrValue>& inputs,
              const Attributes& attributes, std::vector<IrOutput> outputs);
  // The same with one output.
  IrValue Add(IrOp op, std::string name, const std::vector<IrValue>& inputs,
              const Attributes& attributes, IrType type, IrShape shape);
  // Elementwise, numpy's broadcasting, of its first input's type.
  IrValue Elementwise(IrOp op, std::string name, IrValue a, IrValue b);

  IrValue Constant(std::string name, IrType type, const IrShape& shape, uint64_t offset,
                   uint64_t size);
  IrValue Parameter(const char* name, IrType type, const IrShape& shape);
  void Result(const char* name, IrValue value);
  // Marks the layer as one that only widens a compressed weight, so that it is not folded.
  void MarkDecompression(IrValue value);

  const IrOutput& Of(IrValue value) const { return layers_[value.layer].outputs[value.output]; }
  const IrShape& ShapeOf(IrValue value) const { return Of(value).shape; }

  // `about` are names and values that the file says of the whole graph (rt_info); "a/b" is b of the
  // group a.
  std::string Xml(const char* name, const Attributes& about = {}) const;

 private:
  struct Layer {
    IrOp op;
    std::string name;
    std::vector<IrValue> inputs;
    Attributes attributes;
    std::vector<IrOutput> outputs;
    std::string tensor_name = {};  // by which callers know the first output
    bool decompression = false;
  };

  std::vector<Layer> layers_;  // each before those that read it
};

}  // namespace quantfleet::pipeline
