// The operations of OpenVINO that graphs of decoders are made of: each adds a layer, with the
// constants that it wants, and says of which type and shape its result is. Of a call's arguments at
// most one adds a layer: the order of layers must not be the compiler's choice. Not thread-safe.
#pragma once

#include <string>
#include <vector>

#include "pipeline/format/openvino/ir_constants.h"
#include "pipeline/format/openvino/ir_graph.h"

namespace quantfleet::pipeline {

class IrOperations {
 public:
  // Both have to outlive this.
  IrOperations(IrGraph& graph, IrConstants& constants) : graph_(graph), constants_(constants) {}

 protected:
  static constexpr IrOp kAdd{"Add", "opset1"}, kSubtract{"Subtract", "opset1"},
      kMultiply{"Multiply", "opset1"}, kDivide{"Divide", "opset1"}, kPower{"Power", "opset1"},
      kSelect{"Select", "opset1"}, kLessEqual{"LessEqual", "opset1"}, kGreater{"Greater", "opset1"},
      kAnd{"LogicalAnd", "opset1"}, kBitwiseAnd{"BitwiseAnd", "opset13"},
      kConcat{"Concat", "opset1"}, kReshape{"Reshape", "opset1"}, kConvert{"Convert", "opset1"},
      kUnsqueeze{"Unsqueeze", "opset1"}, kTranspose{"Transpose", "opset1"},
      kSplit{"VariadicSplit", "opset1"}, kGather{"Gather", "opset8"}, kShapeOf{"ShapeOf", "opset3"},
      kBroadcast{"Broadcast", "opset3"};

  IrValue Compare(IrOp op, std::string name, IrValue a, IrValue b);
  IrValue Select(std::string name, IrValue condition, IrValue yes, IrValue no);
  // `axes` count in the result.
  IrValue Unsqueeze(std::string name, IrValue x, const std::vector<int64_t>& axes);
  IrValue Concat(std::string name, const std::vector<IrValue>& parts, size_t axis);
  // Cuts the last axis.
  std::vector<IrValue> Split(std::string name, IrValue x, const std::vector<int64_t>& sizes);
  // A 0 in `pattern` keeps that dimension, -1 is what is left.
  IrValue Reshape(std::string name, IrValue x, const std::vector<int64_t>& pattern);
  IrValue SwapMiddle(std::string name, IrValue x);
  IrValue SizeOf(const char* name, IrValue shape, int64_t axis);
  IrValue Range(const char* name, IrValue from, IrValue to);
  // A slice that leaves everything.
  IrValue Whole(std::string name, IrValue x);
  // a times b, or times b turned.
  IrValue MatMul(std::string name, IrValue a, IrValue b, bool turned, IrShape shape);
  // x times the number, where that is not 1.
  IrValue Scaled(std::string name, IrValue x, float scale);
  // cap * tanh(x / cap), where there is a cap.
  IrValue Capped(const std::string& name, IrValue x, float cap);
  IrValue MeanOfLast(std::string name, IrValue x);

  IrGraph& graph_;
  IrConstants& constants_;
};

}  // namespace quantfleet::pipeline
