// What sentence-transformers writes beside an embedding model: modules.json, which lists the stages
// that a text goes through, and the configuration of the stage that pools. Pure; the texts are
// untrusted.
#pragma once

#include <string>
#include <string_view>

#include "common/base/status.h"
#include "pipeline/model/embedding_use.h"

namespace quantfleet::pipeline {

inline constexpr std::string_view kModulesFile = "modules.json";
// What only sentence-transformers reads: what a model wants in front of a text, and how long a text
// may be.
inline constexpr std::string_view kPromptsFile = "config_sentence_transformers.json",
                                  kLengthFile = "sentence_bert_config.json";

// The folder of the pooling stage: "1_Pooling". UNIMPLEMENTED names a stage that is not supported.
absl::StatusOr<std::string> PoolingFolder(std::string_view modules, std::string_view file);

// Of that folder's config.json. INVALID_ARGUMENT where it contradicts itself or `hidden`, the
// length of the model's hidden states; UNIMPLEMENTED names another way to pool.
absl::StatusOr<Pooling> ParseHfPooling(std::string_view config, int64_t hidden,
                                       std::string_view file);

}  // namespace quantfleet::pipeline
