// What config.json says of a mixture of experts. Pure; the text is untrusted.
#pragma once

#include "common/base/json.h"
#include "pipeline/family/family.h"

namespace quantfleet::pipeline {

// Fills in the experts of a family that has them; `hyper.intermediate` is known. UNIMPLEMENTED
// names what of a mixture is not supported: layers without experts, weights that do not sum to 1.
absl::Status ReadExperts(JsonMembers& config, const Family& family, Hyperparameters& hyper);

}  // namespace quantfleet::pipeline
