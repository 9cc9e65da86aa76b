// OpenVINO's operations as its specification words them, slowly and plainly: what the graph says is
// done literally, F16 rounds after every operation, sums are in double.
#include <algorithm>
#include <functional>
#include <numeric>

#include "tests/judges/openvino/choice_ops.h"
#include "tests/judges/openvino/graph.h"

namespace openvino_ir {
namespace {

using In = std::vector<const Tensor*>;

Shape Broadcasted(const Shape& a, const Shape& b) {
  Shape out(std::max(a.size(), b.size()), 1);
  for (const Shape* s : {&a, &b})
    for (size_t i = 0; i < s->size(); ++i) {
      int64_t& dim = out[out.size() - s->size() + i];
      const int64_t other = (*s)[i];
      if (dim != 1 && other != 1 && dim != other) Fail("shapes do not broadcast");
      if (dim == 1) dim = other;
    }
  return out;
}

// Where in `shape` each element of `target` is found.
std::vector<int64_t> Places(const Shape& shape, const Shape& target) {
  std::vector<int64_t> strides(target.size(), 0);
  int64_t step = 1;
  for (size_t i = 0; i < shape.size(); ++i) {
    const size_t from = shape.size() - 1 - i, to = target.size() - 1 - i;
    if (shape[from] != 1) strides[to] = step;
    step *= shape[from];
  }
  std::vector<int64_t> places(static_cast<size_t>(Count(target))), at(target.size(), 0);
  int64_t place = 0;
  for (int64_t& p : places) {
    p = place;
    for (size_t i = target.size(); i-- > 0;) {
      place += strides[i];
      if (++at[i] < target[i]) break;
      place -= strides[i] * target[i];
      at[i] = 0;
    }
  }
  return places;
}

// Elements before, along and behind an axis.
struct Cut {
  int64_t outer = 1, size = 1, inner = 1;
};
Cut CutAt(const Shape& shape, int64_t axis) {
  Cut cut;
  for (size_t i = 0; i < shape.size(); ++i)
    (static_cast<int64_t>(i) < axis    ? cut.outer
     : static_cast<int64_t>(i) == axis ? cut.size
                                       : cut.inner) *= shape[i];
  return cut;
}

void Copy(const Tensor& from, int64_t begin, int64_t n, Tensor& to, int64_t at) {
  if (from.is_float()) {
    std::copy_n(from.floats.begin() + begin, n, to.floats.begin() + at);
  } else {
    std::copy_n(from.integers.begin() + begin, n, to.integers.begin() + at);
  }
}

Tensor Reshaped(const Tensor& in, Shape shape) {
  if (Count(shape) != Count(in.shape)) Fail("the shapes differ in size");
  Tensor out = in;
  out.shape = std::move(shape);
  return out;
}

Tensor Convert(const Layer& layer, const Tensor& in) {
  Tensor out = Made(layer.Attribute("destination_type"), in.shape);
  for (int64_t i = 0; i < Count(in.shape); ++i) {
    if (out.is_float()) {
      Set(out, i, in.is_float() ? F(in, i) : static_cast<float>(I(in, i)));
    } else {
      const int64_t value = in.is_float() ? static_cast<int64_t>(F(in, i)) : I(in, i);
      out.integers[static_cast<size_t>(i)] = out.type == "boolean" ? value != 0 : value;
    }
  }
  return out;
}

Tensor Calculate(const Tensor& a, const Tensor& b, const std::function<float(float, float)>& floats,
                 const std::function<int64_t(int64_t, int64_t)>& integers) {
  if (a.type != b.type) Fail("types differ: " + a.type + ", " + b.type);
  Tensor out = Made(a.type, Broadcasted(a.shape, b.shape));
  const std::vector<int64_t> pa = Places(a.shape, out.shape), pb = Places(b.shape, out.shape);
  for (size_t i = 0; i < pa.size(); ++i) {
    if (out.is_float()) {
      Set(out, static_cast<int64_t>(i), floats(F(a, pa[i]), F(b, pb[i])));
    } else {
      out.integers[i] = integers(I(a, pa[i]), I(b, pb[i]));
    }
  }
  return out;
}

Tensor Compare(const Tensor& a, const Tensor& b, const std::function<bool(float, float)>& floats,
               const std::function<bool(int64_t, int64_t)>& integers) {
  if (a.type != b.type) Fail("compares " + a.type + " with " + b.type);
  Tensor out = Made("boolean", Broadcasted(a.shape, b.shape));
  const std::vector<int64_t> pa = Places(a.shape, out.shape), pb = Places(b.shape, out.shape);
  for (size_t i = 0; i < pa.size(); ++i)
    out.integers[i] =
        a.is_float() ? floats(F(a, pa[i]), F(b, pb[i])) : integers(I(a, pa[i]), I(b, pb[i]));
  return out;
}

Tensor Select(const Tensor& condition, const Tensor& yes, const Tensor& no) {
  if (condition.type != "boolean" || !yes.is_float() || yes.type != no.type) Fail("wrong types");
  Tensor out = Made(yes.type, Broadcasted(condition.shape, Broadcasted(yes.shape, no.shape)));
  const std::vector<int64_t> pc = Places(condition.shape, out.shape),
                             py = Places(yes.shape, out.shape), pn = Places(no.shape, out.shape);
  for (size_t i = 0; i < pc.size(); ++i)
    out.floats[i] = I(condition, pc[i]) ? F(yes, py[i]) : F(no, pn[i]);
  return out;
}

Tensor Map(const Tensor& in, const std::function<double(double)>& f) {
  if (!in.is_float()) Fail("takes floats");
  Tensor out = Made(in.type, in.shape);
  for (int64_t i = 0; i < Count(in.shape); ++i) Set(out, i, static_cast<float>(f(F(in, i))));
  return out;
}

Tensor MeanOfLast(const Layer& layer, const Tensor& in, const Tensor& axes) {
  if (layer.Attribute("keep_dims") != "true" || axes.integers.size() != 1 ||
      Axis(axes.integers[0], in.shape.size()) != static_cast<int64_t>(in.shape.size()) - 1)
    Fail("only means of the last axis are known");
  Shape shape = in.shape;
  const int64_t n = shape.back();
  shape.back() = 1;
  Tensor out = Made(in.type, shape);
  for (int64_t row = 0; row < Count(shape); ++row) {
    double sum = 0;
    for (int64_t i = 0; i < n; ++i) sum += F(in, row * n + i);
    Set(out, row, static_cast<float>(sum / static_cast<double>(n)));
  }
  return out;
}

Tensor MaxOfAll(const Layer& layer, const Tensor& in, const Tensor& axes) {
  if (layer.Attribute("keep_dims") != "false" || in.is_float() || in.integers.empty() ||
      axes.integers.size() != in.shape.size())
    Fail("only the greatest of all integers is known");
  Tensor out = Made(in.type, {});
  out.integers[0] = *std::ranges::max_element(in.integers);
  return out;
}

// x [.., M, K] times w turned, which is [N, K] or [.., N, K]; or times w [.., K, N].
Tensor MatMul(const Layer& layer, const Tensor& x, const Tensor& w) {
  const bool turned = layer.Attribute("transpose_b") == "true", shared = w.shape.size() == 2;
  if (layer.Attribute("transpose_a") != "false" || (shared && !turned) ||
      (!shared &&
       !std::equal(w.shape.begin(), w.shape.end() - 2, x.shape.begin(), x.shape.end() - 2)))
    Fail("only products with rows of weights, or of as many matrices, are known");
  const int64_t k = x.shape.back(), m = x.shape[x.shape.size() - 2];
  const int64_t n = w.shape[w.shape.size() - (turned ? 2 : 1)];
  if (x.type != w.type || k != w.shape[w.shape.size() - (turned ? 1 : 2)])
    Fail("the factors do not fit");
  Shape shape = x.shape;
  shape.back() = n;
  Tensor out = Made(x.type, shape);
  for (int64_t row = 0; row < Count(x.shape) / k; ++row)
    for (int64_t col = 0; col < n; ++col) {
      const float* a = x.floats.data() + row * k;
      const float* b = w.floats.data() + (shared ? 0 : row / m * n * k) + (turned ? col * k : col);
      double sum = 0;
      for (int64_t i = 0; i < k; ++i) sum += static_cast<double>(a[i]) * b[turned ? i : i * n];
      Set(out, row * n + col, static_cast<float>(sum));
    }
  return out;
}

Tensor Softmax(const Layer& layer, const Tensor& in) {
  if (layer.Attribute("axis") != "-1") Fail("only that of the last axis is known");
  Tensor out = in;
  const int64_t n = in.shape.back();
  for (int64_t at = 0; at < Count(in.shape); at += n) {
    double most = -INFINITY, sum = 0;
    for (int64_t i = at; i < at + n; ++i) most = std::max<double>(most, F(in, i));
    for (int64_t i = at; i < at + n; ++i) sum += std::exp(F(in, i) - most);
    for (int64_t i = at; i < at + n; ++i)
      Set(out, i, static_cast<float>(std::exp(F(in, i) - most) / sum));
  }
  return out;
}

Tensor Reshape(const Layer& layer, const Tensor& in, const Tensor& pattern) {
  Shape shape = pattern.integers;
  int64_t rest = Count(in.shape);
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] == 0 && layer.Attribute("special_zero") == "true") shape[i] = in.shape.at(i);
    if (shape[i] != -1) rest /= std::max<int64_t>(shape[i], 1);
  }
  std::ranges::replace(shape, int64_t{-1}, rest);
  return Reshaped(in, shape);
}

Tensor Unsqueeze(const Tensor& in, const Tensor& axes) {
  Shape shape = in.shape, sorted = axes.integers;
  for (int64_t& axis : sorted) axis = Axis(axis, in.shape.size() + axes.integers.size());
  std::ranges::sort(sorted);
  for (const int64_t axis : sorted) shape.insert(shape.begin() + axis, 1);
  return Reshaped(in, shape);
}

std::vector<Tensor> Split(const Tensor& in, const Tensor& axis_of, const Tensor& lengths) {
  const int64_t axis = Axis(I(axis_of, 0), in.shape.size());
  const Cut cut = CutAt(in.shape, axis);
  if (std::accumulate(lengths.integers.begin(), lengths.integers.end(), int64_t{0}) != cut.size)
    Fail("the parts are not the whole");
  std::vector<Tensor> out;
  int64_t at = 0;
  for (const int64_t n : lengths.integers) {
    Shape shape = in.shape;
    shape[static_cast<size_t>(axis)] = n;
    out.push_back(Made(in.type, shape));
    for (int64_t o = 0; o < cut.outer; ++o)
      Copy(in, (o * cut.size + at) * cut.inner, n * cut.inner, out.back(), o * n * cut.inner);
    at += n;
  }
  return out;
}

Tensor Concat(const Layer& layer, const In& in) {
  const int64_t axis = Axis(std::stoll(layer.Attribute("axis")), in.at(0)->shape.size());
  Shape shape = in[0]->shape;
  int64_t& size = shape[static_cast<size_t>(axis)] = 0;
  for (const Tensor* t : in) {
    if (t->type != in[0]->type) Fail("types differ");
    size += t->shape.at(static_cast<size_t>(axis));
  }
  Tensor out = Made(in[0]->type, shape);
  int64_t at = 0;
  for (const Tensor* t : in) {
    const Cut cut = CutAt(t->shape, axis);
    if (cut.outer * cut.inner * size != Count(shape)) Fail("shapes differ");
    for (int64_t o = 0; o < cut.outer; ++o)
      Copy(*t, o * cut.size * cut.inner, cut.size * cut.inner, out, (o * size + at) * cut.inner);
    at += cut.size;
  }
  return out;
}

Tensor Gather(const Layer& layer, const Tensor& data, const Tensor& indices,
              const Tensor& axis_of) {
  if (layer.Attribute("batch_dims") != "0") Fail("no batches are known");
  const int64_t axis = Axis(I(axis_of, 0), data.shape.size());
  const Cut cut = CutAt(data.shape, axis);
  Shape shape(data.shape.begin(), data.shape.begin() + axis);
  shape.insert(shape.end(), indices.shape.begin(), indices.shape.end());
  shape.insert(shape.end(), data.shape.begin() + axis + 1, data.shape.end());
  Tensor out = Made(data.type, shape);
  int64_t at = 0;
  for (int64_t o = 0; o < cut.outer; ++o)
    for (int64_t index : indices.integers) {
      if (index < 0) index += cut.size;
      if (index < 0 || index >= cut.size) Fail("an index lies outside");
      Copy(data, (o * cut.size + index) * cut.inner, cut.inner, out, at);
      at += cut.inner;
    }
  return out;
}

Tensor Broadcast(const Layer& layer, const Tensor& in, const Tensor& target) {
  const Shape shape = Broadcasted(in.shape, target.integers);
  if (layer.Attribute("mode") == "numpy" && shape != target.integers) Fail("does not spread so");
  Tensor out = Made(in.type, shape);
  const std::vector<int64_t> places = Places(in.shape, shape);
  for (size_t i = 0; i < places.size(); ++i) Copy(in, places[i], 1, out, static_cast<int64_t>(i));
  return out;
}

Tensor Range(const Layer& layer, const Tensor& from, const Tensor& to, const Tensor& step) {
  Tensor out{layer.Attribute("output_type"), {}, {}, {}};
  for (int64_t i = I(from, 0); i < I(to, 0); i += I(step, 0)) out.integers.push_back(i);
  out.shape = {static_cast<int64_t>(out.integers.size())};
  return out;
}

// softmax(q k * scale + mask) v, of scale 1 / sqrt(head) where none is given; [batch, heads,
// tokens, head]. A sink is one more score of a head, whose value is nothing.
Tensor Attention(const Layer& layer, const In& in) {
  if (layer.Attribute("causal") != "false" || in.size() < 4 || in.size() > 6)
    Fail("attention wants a mask, and may have a scale and sinks");
  const Tensor &q = *in[0], &k = *in[1], &v = *in[2];
  const int64_t heads = q.shape[0] * q.shape[1], now = q.shape[2], total = k.shape[2],
                head = q.shape[3];
  const std::vector<int64_t> mask = Places(in[3]->shape, {q.shape[0], q.shape[1], now, total});
  const double scale = in.size() > 4 ? F(*in[4], 0) : 1 / std::sqrt(static_cast<double>(head));
  Tensor out = Made(q.type, q.shape);
  std::vector<double> scores(static_cast<size_t>(total));
  for (int64_t h = 0; h < heads; ++h)
    for (int64_t i = 0; i < now; ++i) {
      const double sink = in.size() > 5 ? F(*in[5], h % q.shape[1]) : -INFINITY;
      double most = sink;
      for (int64_t j = 0; j < total; ++j) {
        double dot = 0;
        for (int64_t d = 0; d < head; ++d)
          dot += static_cast<double>(F(q, (h * now + i) * head + d)) *
                 F(k, (h * total + j) * head + d);
        double& score = scores[static_cast<size_t>(j)];
        score = dot * scale + F(*in[3], mask[static_cast<size_t>((h * now + i) * total + j)]);
        most = std::max(most, score);
      }
      double sum = std::exp(sink - most);
      for (double& score : scores) sum += score = std::exp(score - most);
      for (int64_t d = 0; d < head; ++d) {
        double value = 0;
        for (int64_t j = 0; j < total; ++j)
          value += scores[static_cast<size_t>(j)] * F(v, (h * total + j) * head + d);
        Set(out, (h * now + i) * head + d, static_cast<float>(value / sum));
      }
    }
  return out;
}

}  // namespace

std::vector<Tensor> Apply(const Layer& layer, const std::vector<const Tensor*>& in) {
  const std::string& op = layer.type;
  const auto arg = [&](size_t i) -> const Tensor& { return *in.at(i); };
  const auto numbers = [&](const auto& floats, const auto& integers) {
    return std::vector{Calculate(arg(0), arg(1), floats, integers)};
  };
  const auto none = [](int64_t, int64_t) -> int64_t { Fail("is for floats"); };
  if (op == "Add") return numbers(std::plus<float>(), std::plus<int64_t>());
  if (op == "Subtract") return numbers(std::minus<float>(), std::minus<int64_t>());
  if (op == "Multiply") return numbers(std::multiplies<float>(), std::multiplies<int64_t>());
  if (op == "Divide") return numbers(std::divides<float>(), none);
  if (op == "Maximum") return numbers([](float a, float b) { return std::max(a, b); }, none);
  if (op == "Minimum") return numbers([](float a, float b) { return std::min(a, b); }, none);
  if (op == "Power") return numbers([](float a, float b) { return std::pow(a, b); }, none);
  const auto test = [&](const auto& floats, const auto& integers) {
    return std::vector{Compare(arg(0), arg(1), floats, integers)};
  };
  const auto never = [](float, float) -> bool { Fail("is for integers"); };
  if (op == "LessEqual") return test(std::less_equal<float>(), std::less_equal<int64_t>());
  if (op == "Greater") return test(std::greater<float>(), std::greater<int64_t>());
  if (op == "Equal") return test(never, std::equal_to<int64_t>());
  if (op == "LogicalOr") return test(never, std::logical_or<int64_t>());
  // Of booleans alone, where both are the same.
  if (op == "LogicalAnd" || op == "BitwiseAnd") return test(never, std::logical_and<int64_t>());
  if (op == "Select") return {Select(arg(0), arg(1), arg(2))};
  if (op == "Convert") return {Convert(layer, arg(0))};
  if (op == "Sqrt") return {Map(arg(0), [](double x) { return std::sqrt(x); })};
  if (op == "Abs") return {Map(arg(0), [](double x) { return std::abs(x); })};
  if (op == "Exp") return {Map(arg(0), [](double x) { return std::exp(x); })};
  if (op == "Cos") return {Map(arg(0), [](double x) { return std::cos(x); })};
  if (op == "Sin") return {Map(arg(0), [](double x) { return std::sin(x); })};
  if (op == "Tanh") return {Map(arg(0), [](double x) { return std::tanh(x); })};
  if (op == "Softmax") return {Softmax(layer, arg(0))};
  if (op == "Swish") {
    const double slope = in.size() > 1 ? F(arg(1), 0) : 1;
    return {Map(arg(0), [slope](double x) { return x / (1 + std::exp(-slope * x)); })};
  }
  if (op == "Clamp") {
    const double least = std::stod(layer.Attribute("min")),
                 most = std::stod(layer.Attribute("max"));
    return {Map(arg(0), [=](double x) { return std::clamp(x, least, most); })};
  }
  if (op == "Gelu") {
    if (layer.Attribute("approximation_mode") != "TANH") Fail("only the approximation is known");
    return {Map(arg(0), [](double x) {
      return x / 2 * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    })};
  }
  if (op == "ReduceMean") return {MeanOfLast(layer, arg(0), arg(1))};
  if (op == "ReduceSum") return {ReduceSum(arg(0), arg(1), layer.Attribute("keep_dims") == "true")};
  if (op == "TopK") return TopK(layer, arg(0), I(arg(1), 0));
  if (op == "ScatterElementsUpdate") return {ScatterElements(arg(0), arg(1), arg(2), arg(3))};
  if (op == "Tile") return {Tile(arg(0), arg(1))};
  if (op == "ReduceMax") return {MaxOfAll(layer, arg(0), arg(1))};
  if (op == "MatMul") return {MatMul(layer, arg(0), arg(1))};
  if (op == "Reshape") return {Reshape(layer, arg(0), arg(1))};
  if (op == "Transpose") return {Transpose(arg(0), arg(1))};
  if (op == "Unsqueeze") return {Unsqueeze(arg(0), arg(1))};
  if (op == "VariadicSplit") return Split(arg(0), arg(1), arg(2));
  if (op == "Concat") return {Concat(layer, in)};
  if (op == "Gather") return {Gather(layer, arg(0), arg(1), arg(2))};
  if (op == "Broadcast") return {Broadcast(layer, arg(0), arg(1))};
  if (op == "Slice") return {Slice(arg(0), arg(1), arg(2), arg(3), arg(4))};
  if (op == "Range") return {Range(layer, arg(0), arg(1), arg(2))};
  if (op == "ScaledDotProductAttention") return {Attention(layer, in)};
  if (op == "ShapeOf") {
    Tensor out = Made(layer.Attribute("output_type"), {static_cast<int64_t>(arg(0).shape.size())});
    out.integers = arg(0).shape;
    return {out};
  }
  Fail("is not known");
}

}  // namespace openvino_ir
