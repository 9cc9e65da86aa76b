// A plan for people: what each tensor becomes and how large each file gets (--dry-run). Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "pipeline/artifact/memory.h"
#include "pipeline/stage/plan.h"

namespace quantfleet::pipeline {

// One tensor of the output, its pieces together.
struct PlannedTensor {
  std::string name;
  int64_t rows, cols;  // of a 3-D tensor the rows of all its matrices
  int dims;
  DType dtype;
  uint64_t bytes;         // without padding
  double expected_error;  // relative (ExpectedError), its pieces together
  bool weighed;           // importance decides between codes
  int64_t matrices = 1;   // of a 3-D tensor: experts
  DType asked = dtype;    // by the recipe, before a type that the rows allow took its place
};
std::vector<PlannedTensor> TensorsOf(const ModelDescription& model, const Plan& plan,
                                     const TargetPlan& target);

// Relative error of all weights together, each element counting alike.
double ExpectedErrorOf(const ModelDescription& model, const TargetPlan& target);

uint64_t TargetBytes(const TargetPlan& target);

// How the planned artifacts are meant to be run.
struct RunWish {
  uint64_t context = 0;       // tokens; 0: as pipeline/artifact/memory.h has it
  std::string kv_type = {};   // empty: the default of what runs the format
  uint64_t device_bytes = 0;  // memory of the device that is to run it; 0: no device given
};
// What one target needs for that.
struct TargetRun {
  MemoryNeed need;
  struct Fit {
    uint64_t device_bytes;
    bool fits;
    uint64_t longest;  // context that fits, in tokens; 0: none
  };
  std::optional<Fit> fit = {};  // on that device, if one was given
};
// One per target. INVALID_ARGUMENT as NeedOf, with the target's name.
absl::StatusOr<std::vector<TargetRun>> RunsOf(const Plan& plan, const RunWish& wish);

// A table per target: tensor, shape, scheme, bytes, expected error; then files with their exact
// sizes, and what running takes. `runs`: one per target.
std::string DescribePlan(const ModelDescription& model, const Plan& plan,
                         const std::vector<TargetRun>& runs);

}  // namespace quantfleet::pipeline
