// A value of the IR evaluator: floats (F16 rounded after every step) or integers, row-major. Plain.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace openvino_ir {

using Shape = std::vector<int64_t>;

struct Tensor {
  std::string type;  // "f32", "f16", "i64", "boolean", ...
  Shape shape;
  std::vector<float> floats;      // of f32 and f16
  std::vector<int64_t> integers;  // of the others

  bool is_float() const { return type == "f32" || type == "f16"; }
};

inline int64_t Count(const Shape& shape) {
  int64_t n = 1;
  for (const int64_t dim : shape) n *= dim;
  return n;
}

inline float FromHalf(uint16_t bits) {
  const int exponent = bits >> 10 & 31;
  const float fraction = static_cast<float>(bits & 1023), sign = bits & 0x8000 ? -1.f : 1.f;
  if (exponent == 31) return fraction != 0 ? NAN : sign * INFINITY;
  return sign *
         (exponent != 0 ? std::ldexp(1024.f + fraction, exponent - 25) : std::ldexp(fraction, -24));
}

// The nearest F16, as a float; ties go to the even one.
inline float RoundToHalf(float value) {
  if (!std::isfinite(value) || value == 0) return value;
  const int exponent = std::max(std::ilogb(value), -14);
  const float step = std::ldexp(1.f, exponent - 10), rounded = std::nearbyint(value / step) * step;
  return std::abs(rounded) > 65504.f ? std::copysign(INFINITY, value) : rounded;
}

[[noreturn]] inline void Fail(const std::string& what) { throw std::runtime_error(what); }

inline Tensor Made(const std::string& type, Shape shape) {
  Tensor out{type, std::move(shape), {}, {}};
  const auto n = static_cast<size_t>(Count(out.shape));
  if (out.is_float()) {
    out.floats.resize(n);
  } else {
    out.integers.resize(n);
  }
  return out;
}

inline void Set(Tensor& out, int64_t i, float value) {
  out.floats[static_cast<size_t>(i)] = out.type == "f16" ? RoundToHalf(value) : value;
}
inline float F(const Tensor& t, int64_t i) { return t.floats.at(static_cast<size_t>(i)); }
inline int64_t I(const Tensor& t, int64_t i) { return t.integers.at(static_cast<size_t>(i)); }

// Of one that may count from behind.
inline int64_t Axis(int64_t axis, size_t rank) {
  const auto n = static_cast<int64_t>(rank);
  if (axis < -n || axis >= n) Fail("an axis is out of range");
  return axis < 0 ? axis + n : axis;
}

}  // namespace openvino_ir
