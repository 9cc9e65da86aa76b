// What makes a prompt of a chat: a model's template and its tokenizer, without its weights.
#pragma once

#include <memory>

#include "common/base/file.h"
#include "text/template/chat_template.h"
#include "text/tokenizer/tokenizer.h"
#include "text/tokenizer/tokenizer_data.h"

namespace quantfleet::engine {

// What a template calls bos_token and eos_token.
text::ControlTokens ControlTokensOf(const text::TokenizerData& tokenizer);
// The model's template for chats with tools; empty: it has no other.
std::string_view ToolTemplateOf(const text::TokenizerData& tokenizer);

struct ModelText {
  text::ChatTemplate chat;
  std::unique_ptr<text::Tokenizer> tokenizer;
};
// Of a GGUF file, which may hold a vocabulary only.
absl::StatusOr<ModelText> LoadModelText(FileSystem& files, const fs::path& gguf);

}  // namespace quantfleet::engine
