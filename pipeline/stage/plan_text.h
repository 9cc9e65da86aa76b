// A plan for people: what each tensor becomes and how large each file gets (--dry-run). Pure.
#pragma once

#include <string>
#include <vector>

#include "pipeline/stage/plan.h"

namespace quantfleet::pipeline {

// One tensor of the output, its pieces together.
struct PlannedTensor {
  std::string name;
  int64_t rows, cols;
  int dims;
  DType dtype;
  uint64_t bytes;  // without padding
  double expected_error;  // relative (ExpectedError), its pieces together
  bool weighed;           // importance decides between codes
};
std::vector<PlannedTensor> TensorsOf(const ModelDescription& model, const Plan& plan,
                                     const TargetPlan& target);

// Relative error of all weights together, each element counting alike.
double ExpectedErrorOf(const ModelDescription& model, const TargetPlan& target);

uint64_t TargetBytes(const TargetPlan& target);

// A table per target: tensor, shape, scheme, bytes, expected error; then files with their exact sizes.
std::string DescribePlan(const ModelDescription& model, const Plan& plan);

}  // namespace quantfleet::pipeline
