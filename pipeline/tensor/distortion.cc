#include "pipeline/tensor/distortion.h"

namespace quantfleet::pipeline {
namespace {

double OfGroups(DType to) {
  const std::optional<GroupScheme> scheme = GroupSchemeOf(to);
  if (!scheme) return 0;
  struct Errors {
    GroupZero zero;
    double of32, of64, of128;  // of 4 bits
    double wide32, wide64, wide128;
  };
  constexpr Errors kErrors[] = {
      {GroupZero::kMiddle, 0.0859, 0.0949, 0.1033, 0.00535, 0.00535, 0.00535},
      {GroupZero::kPoint, 0.0807, 0.0910, 0.1006, 0.00535, 0.00535, 0.00535},
      {GroupZero::kBias, 0.0807, 0.0909, 0.1006, 0.00535, 0.00535, 0.00535},
  };
  for (const Errors& e : kErrors) {
    if (e.zero != scheme->zero) continue;
    const bool wide = scheme->bits == 8;
    if (scheme->elements == 32) return wide ? e.wide32 : e.of32;
    if (scheme->elements == 64) return wide ? e.wide64 : e.of64;
    return wide ? e.wide128 : e.of128;
  }
  return 0;
}

}  // namespace

double ExpectedError(DType from, DType to) {
  if (from == to || to == DType::kF32 || (from == DType::kBF16 && to == DType::kF16)) return 0;
  switch (to) {
    case DType::kF32:
      return 0;
    case DType::kF16:
      return 0.000206;
    case DType::kBF16:
      return 0.00166;
    case DType::kQ8_0:
      return 0.00535;
    case DType::kQ6_K:
      return 0.0177;
    case DType::kQ5_K:
      return 0.0361;
    case DType::kQ5_1:
      return 0.0378;
    case DType::kQ5_0:
      return 0.0430;
    case DType::kQ4_K:
      return 0.0713;
    case DType::kQ4_1:
      return 0.0782;
    case DType::kQ4_0:
      return 0.0859;
  }
  return OfGroups(to);
}

}  // namespace quantfleet::pipeline
