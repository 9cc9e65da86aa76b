// What a chat template is filled with.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace quantfleet::text {

struct ChatMessage {
  std::string role;  // "system", "user", "assistant"
  std::string content;
};

// The texts of the model's own tokens; empty: it has none.
struct ControlTokens {
  std::string begin, end;
  // True when the tokenizer puts `begin` before a prompt, so that the template's own is removed.
  bool adds_begin = true;
};

struct Conversation {
  const std::vector<ChatMessage>& messages;
  const ControlTokens& tokens;
  int64_t now = 0;  // Unix seconds; templates ask for the local date
};

}  // namespace quantfleet::text
