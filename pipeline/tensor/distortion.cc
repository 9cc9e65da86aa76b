#include "pipeline/tensor/distortion.h"

namespace quantfleet::pipeline {
namespace {

double OfGroups(DType to) {
  struct Measured {
    GroupScheme scheme;
    double error;
  };
  constexpr Measured kMeasured[] = {
      {{4, 64, GroupZero::kMiddle}, 0.0949},  {{4, 128, GroupZero::kMiddle}, 0.1033},
      {{4, 32, GroupZero::kPoint}, 0.0807},   {{4, 64, GroupZero::kPoint}, 0.0910},
      {{4, 128, GroupZero::kPoint}, 0.1006},  {{4, 32, GroupZero::kBias}, 0.0807},
      {{4, 64, GroupZero::kBias}, 0.0909},    {{4, 128, GroupZero::kBias}, 0.1006},
      {{8, 64, GroupZero::kMiddle}, 0.00594}, {{8, 128, GroupZero::kMiddle}, 0.00647},
      {{8, 32, GroupZero::kPoint}, 0.00476},  {{8, 64, GroupZero::kPoint}, 0.00536},
      {{8, 128, GroupZero::kPoint}, 0.00592}, {{8, 32, GroupZero::kBias}, 0.00482},
      {{8, 64, GroupZero::kBias}, 0.00542},   {{8, 128, GroupZero::kBias}, 0.00597},
  };
  for (const Measured& measured : kMeasured)
    if (GroupType(measured.scheme) == to) return measured.error;
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
