// What a fit may take, from the command line: bytes of the artifact, a device's memory, or what a
// device class says of both.
#pragma once

#include <string>

#include "common/base/file.h"
#include "pipeline/stage/mix_fit.h"

namespace quantfleet::cli {

struct BudgetWords {
  uint64_t bytes = 0, device_mib = 0, context = 0;
  std::string kv_type, class_file;
};
struct FitBudget {
  std::string format;  // of the class; empty: there is none
  pipeline::MixBudget budget;
  std::string text;  // "95000000 bytes", for people
  std::string name;  // of the recipe, where nobody gives one
};
// INVALID_ARGUMENT: a class that says neither how many bytes an artifact may have nor how much
// memory its devices have, or that the daemon would refuse.
absl::StatusOr<FitBudget> ReadBudget(FileSystem& files, const BudgetWords& words);

}  // namespace quantfleet::cli
