// Operations that choose, move and add up elements, as OpenVINO's specification words them: what
// mixtures of experts are made of.
#pragma once

#include <vector>

#include "tests/judges/openvino/graph.h"

namespace openvino_ir {

Tensor Transpose(const Tensor& in, const Tensor& order);
Tensor ReduceSum(const Tensor& in, const Tensor& axes, bool keep_dims);
// The greatest of the last axis, sorted, and where they were.
std::vector<Tensor> TopK(const Layer& layer, const Tensor& in, int64_t count);
// Of matrices, along the last axis.
Tensor ScatterElements(const Tensor& in, const Tensor& indices, const Tensor& updates,
                       const Tensor& axis);
// Of axes that count from the front, forwards.
Tensor Slice(const Tensor& in, const Tensor& starts, const Tensor& stops, const Tensor& steps,
             const Tensor& axes);
Tensor Tile(const Tensor& in, const Tensor& repeats);

}  // namespace openvino_ir
