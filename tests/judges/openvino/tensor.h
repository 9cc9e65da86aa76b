// A value of the IR evaluator: floats (F16 rounded after every step) or integers, row-major. Plain.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
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

}  // namespace openvino_ir
