// The best mix of types under a byte budget: of each tensor one type, so that the harm of all
// together is least and their bytes are within the budget (docs/quality.md#a-byte-budget). Harms
// add up. Pure; ties are broken by order, so that the same tables give the same mix everywhere.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "pipeline/tensor/dtype.h"

namespace quantfleet::pipeline {

struct MixChoice {
  DType type;
  uint64_t bytes;
  double harm = 0;  // finite, at least 0
};

// What gets one type: a tensor of the target, with all the pieces that it fuses.
struct MixTensor {
  std::string name;
  std::vector<MixChoice> choices;  // at least one
};

struct TypeMix {
  std::vector<size_t> chosen;  // by tensor, an index into its choices
  uint64_t bytes = 0;
  double harm = 0;
};

// The fewest bytes that the tensors take together.
uint64_t SmallestMix(const std::vector<MixTensor>& tensors);

// RESOURCE_EXHAUSTED: the smallest mix has more bytes than the budget.
absl::StatusOr<TypeMix> SolveMix(const std::vector<MixTensor>& tensors, uint64_t budget);

}  // namespace quantfleet::pipeline
