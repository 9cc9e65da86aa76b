// generation_config.json of a Hugging Face model folder: which tokens end a generation, and how to
// draw them where nobody says. Pure; the text is untrusted.
#pragma once

#include <string_view>
#include <vector>

#include "common/base/json.h"
#include "pipeline/model/sampling.h"

namespace quantfleet::pipeline {

struct HfGeneration {
  std::vector<int64_t> ends;  // all of eos_token_id, in the file's order; empty where it names none
  SamplingDefaults sampling;
};

// INVALID_ARGUMENT names file and field: a number out of range, an id outside of the vocabulary.
absl::StatusOr<HfGeneration> ParseHfGeneration(std::string_view json, int64_t vocab,
                                               std::string_view file = "generation_config.json");

// One token id or a list of them, as eos_token_id is in both files; -1 stands for none. What is
// neither, or outside of the vocabulary, sets from.status().
std::vector<int64_t> ReadTokenIds(JsonMembers& from, std::string_view key, int64_t vocab);

}  // namespace quantfleet::pipeline
