// A conversation as the one text that a model continues. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/base/status.h"

namespace quantfleet::agent {

struct ChatMessage {
  std::string role;  // "system", "user", "assistant"
  std::string content;
};

struct ChatPrompt {
  std::string text;
  std::vector<std::string> stop;  // where the assistant's turn ends
};

// `chat_template`: the model's own (Jinja). Known are templates of Phi-3's kind. A model without one was
// never taught turns: its messages are put one after the other as they are. INVALID_ARGUMENT: another
// template, or a message that holds the template's own markers.
absl::StatusOr<ChatPrompt> RenderChat(std::string_view chat_template,
                                      const std::vector<ChatMessage>& messages);

}  // namespace quantfleet::agent
