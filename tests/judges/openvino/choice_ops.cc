#include "tests/judges/openvino/choice_ops.h"

#include <algorithm>
#include <numeric>

namespace openvino_ir {
namespace {

// Counts through a shape, the last axis fastest.
void Next(const Shape& shape, Shape& at) {
  for (size_t i = shape.size(); i-- > 0;) {
    if (++at[i] < shape[i]) return;
    at[i] = 0;
  }
}

int64_t PlaceIn(const Shape& shape, const Shape& at) {
  int64_t place = 0;
  for (size_t i = 0; i < shape.size(); ++i) place = place * shape[i] + at[i];
  return place;
}

}  // namespace

Tensor Transpose(const Tensor& in, const Tensor& order) {
  if (order.integers.size() != in.shape.size()) Fail("the order is of other axes");
  Shape shape;
  for (const int64_t axis : order.integers) shape.push_back(in.shape.at(static_cast<size_t>(axis)));
  Tensor out = Made(in.type, shape);
  Shape at(shape.size(), 0), from = at;
  for (int64_t i = 0; i < Count(shape); ++i, Next(shape, at)) {
    for (size_t axis = 0; axis < at.size(); ++axis)
      from[static_cast<size_t>(order.integers[axis])] = at[axis];
    Set(out, i, F(in, PlaceIn(in.shape, from)));
  }
  return out;
}

Tensor ReduceSum(const Tensor& in, const Tensor& axes, bool keep_dims) {
  if (axes.integers.size() != 1) Fail("only sums along one axis are known");
  const auto axis = static_cast<size_t>(Axis(I(axes, 0), in.shape.size()));
  Shape shape = in.shape;
  shape[axis] = 1;
  std::vector<double> sums(static_cast<size_t>(Count(shape)), 0);
  Shape at(shape.size(), 0);
  for (int64_t i = 0; i < Count(in.shape); ++i, Next(in.shape, at)) {
    Shape to = at;
    to[axis] = 0;
    sums[static_cast<size_t>(PlaceIn(shape, to))] += F(in, i);
  }
  if (!keep_dims) shape.erase(shape.begin() + static_cast<int64_t>(axis));
  Tensor out = Made(in.type, shape);
  for (size_t i = 0; i < sums.size(); ++i)
    Set(out, static_cast<int64_t>(i), static_cast<float>(sums[i]));
  return out;
}

std::vector<Tensor> TopK(const Layer& layer, const Tensor& in, int64_t count) {
  if (Axis(std::stoll(layer.Attribute("axis")), in.shape.size()) !=
          static_cast<int64_t>(in.shape.size()) - 1 ||
      layer.Attribute("mode") != "max" || layer.Attribute("sort") != "value")
    Fail("only the greatest of the last axis, sorted, are known");
  const int64_t n = in.shape.back();
  if (count > n) Fail("there are not so many");
  Shape shape = in.shape;
  shape.back() = count;
  Tensor values = Made(in.type, shape), places = Made(layer.Attribute("index_element_type"), shape);
  std::vector<int64_t> order(static_cast<size_t>(n));
  for (int64_t row = 0; row < Count(in.shape) / n; ++row) {
    std::iota(order.begin(), order.end(), 0);
    std::ranges::sort(order, {}, [&](int64_t i) { return std::pair(-F(in, row * n + i), i); });
    for (int64_t i = 0; i < count; ++i) {
      const int64_t best = order[static_cast<size_t>(i)];
      Set(values, row * count + i, F(in, row * n + best));
      places.integers[static_cast<size_t>(row * count + i)] = best;
    }
  }
  return {values, places};
}

Tensor ScatterElements(const Tensor& in, const Tensor& indices, const Tensor& updates,
                       const Tensor& axis) {
  if (in.shape.size() != 2 || Axis(I(axis, 0), 2) != 1 || indices.shape != updates.shape ||
      indices.shape.size() != 2 || indices.shape[0] != in.shape[0])
    Fail("only columns of a matrix are known");
  Tensor out = in;
  const int64_t n = in.shape[1], each = indices.shape[1];
  for (int64_t i = 0; i < Count(indices.shape); ++i) {
    if (I(indices, i) < 0 || I(indices, i) >= n) Fail("an index lies outside");
    Set(out, i / each * n + I(indices, i), F(updates, i));
  }
  return out;
}

Tensor Slice(const Tensor& in, const Tensor& starts, const Tensor& stops, const Tensor& steps,
             const Tensor& axes) {
  Shape first(in.shape.size(), 0), step(in.shape.size(), 1), shape = in.shape;
  for (size_t i = 0; i < axes.integers.size(); ++i) {
    const auto axis = static_cast<size_t>(axes.integers[i]);
    first.at(axis) = starts.integers.at(i);
    step[axis] = steps.integers.at(i);
    const int64_t stop = std::min(stops.integers.at(i), in.shape[axis]);
    if (first[axis] < 0 || step[axis] < 1 || stop < first[axis]) Fail("slices backwards");
    shape[axis] = (stop - first[axis] + step[axis] - 1) / step[axis];
  }
  Tensor out = Made(in.type, shape);
  Shape at(shape.size(), 0), from = at;
  for (int64_t i = 0; i < Count(shape); ++i, Next(shape, at)) {
    for (size_t axis = 0; axis < at.size(); ++axis)
      from[axis] = first[axis] + at[axis] * step[axis];
    Set(out, i, F(in, PlaceIn(in.shape, from)));
  }
  return out;
}

Tensor Tile(const Tensor& in, const Tensor& repeats) {
  if (repeats.integers.size() != in.shape.size()) Fail("the repeats are of other axes");
  Shape shape = in.shape;
  for (size_t i = 0; i < shape.size(); ++i) shape[i] *= repeats.integers[i];
  Tensor out = Made(in.type, shape);
  Shape at(shape.size(), 0), from = at;
  for (int64_t i = 0; i < Count(shape); ++i, Next(shape, at)) {
    for (size_t axis = 0; axis < at.size(); ++axis) from[axis] = at[axis] % in.shape[axis];
    Set(out, i, F(in, PlaceIn(in.shape, from)));
  }
  return out;
}

}  // namespace openvino_ir
