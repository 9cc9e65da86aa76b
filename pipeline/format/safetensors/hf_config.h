// config.json of a Hugging Face model folder: family and hyper-parameters. Pure; the text is
// untrusted.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/format/safetensors/hf_quantization.h"
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
  HfQuantization quantization;   // of the weights
  bool beside_adapters = false;  // as HfClass has it
  // Lengths that an embedding may be cut to, as EmbeddingUse has them.
  std::vector<int64_t> dimensions;
  bool any_dimensions = false;
  // Of an embedding model, which generates nothing: what its tokenizer puts at the ends of a text
  // is its bos and eos, as llama.cpp knows no others.
  bool embeds = false;
  bool headless = false;  // of a class that generates no text: its files say how to pool
};

// INVALID_ARGUMENT names the field; UNIMPLEMENTED names what is not supported and what is.
absl::StatusOr<HfConfig> ParseHfConfig(std::string_view json,
                                       std::string_view file = "config.json");

}  // namespace quantfleet::pipeline
