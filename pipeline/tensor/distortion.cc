#include "pipeline/tensor/distortion.h"

namespace quantfleet::pipeline {

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
  return 0;
}

}  // namespace quantfleet::pipeline
