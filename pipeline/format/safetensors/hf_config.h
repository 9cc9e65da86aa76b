// config.json of a Hugging Face model folder: family and hyper-parameters. Pure; the text is
// untrusted.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/model/description.h"

namespace quantfleet::pipeline {

struct HfConfig {
  const Family* family = nullptr;       // never null once parsed
  Hyperparameters hyper;                // validated
  bool text_part = false;               // of a model that does more (HfClass::text_part)
  std::string published_name;           // last part of _name_or_path; may be empty
  std::optional<int64_t> bos, padding;  // token ids, where the tokenizer's own files name none
  // All that end a generation; the first is eos where the tokenizer's own files name none.
  std::vector<int64_t> ends;
};

// INVALID_ARGUMENT names the field; UNIMPLEMENTED names what is not supported and what is.
absl::StatusOr<HfConfig> ParseHfConfig(std::string_view json,
                                       std::string_view file = "config.json");

}  // namespace quantfleet::pipeline
