#include "pipeline/tensor/distortion.h"

namespace quantfleet::pipeline {

double ExpectedError(DType from, DType to) {
  if (from == to || (from == DType::kBF16 && to == DType::kF16)) return 0;
  return Info(to).expected_error;
}

}  // namespace quantfleet::pipeline
