// An untrusted description against itself. Pure functions.
#pragma once

#include "common/base/status.h"
#include "pipeline/family/family.h"

namespace quantfleet::pipeline {

// Ranges of every hyper-parameter; errors name the field as config.json spells it.
absl::Status ValidateHyperparameters(const Family& family, const Hyperparameters& hyper);
// Whether the family's models may be with, or without, biases on q, k and v.
absl::Status ValidateBiases(const Family& family, bool biases);
absl::Status ValidateTokenizer(const text::TokenizerData& tokenizer, int64_t vocab);

// Every shape follows from the hyper-parameters; pieces are complete, unique and of the right size;
// sizes are sane. Errors name the tensor and the field that contradicts it.
absl::Status Validate(const ModelDescription& description);

}  // namespace quantfleet::pipeline
