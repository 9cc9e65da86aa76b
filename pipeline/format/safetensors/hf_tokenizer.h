// The tokenizer of a Hugging Face folder as data: SentencePiece BPE (tokenizer.model), or what
// tokenizer.json describes. Pure; the texts are untrusted.
#pragma once

#include <optional>
#include <string>

#include "pipeline/format/safetensors/hf_config.h"

namespace quantfleet::pipeline {

// The contents of the files that a folder has.
struct HfTokenizerFiles {
  std::optional<std::string> model;               // tokenizer.model
  std::optional<std::string> tokenizer_json;      // tokenizer.json
  std::optional<std::string> tokenizer_config;    // tokenizer_config.json
  std::optional<std::string> added_tokens;        // added_tokens.json
  std::optional<std::string> chat_template;       // chat_template.jinja
  std::optional<std::string> chat_template_json;  // chat_template.json
  // Of additional_chat_templates: name and contents of NAME.jinja.
  std::vector<std::pair<std::string, std::string>> more_templates = {};
};

// Padded to config.hyper.vocab; what ends a generation is the tokenizer's eos and config.ends.
// Without any tokenizer file: Kind::kNone; with tokenizer_config.json alone NOT_FOUND, as that is a
// folder copied in part. UNIMPLEMENTED names the stage of tokenizer.json that we do not know:
// running a model with a wrong one would fail silently.
absl::StatusOr<text::TokenizerData> BuildTokenizer(const HfTokenizerFiles& files,
                                                   const HfConfig& config);

}  // namespace quantfleet::pipeline
