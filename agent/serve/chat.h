// A conversation as the one text that a model continues, by the template that the model carries. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "agent/runtime/tokenizer.h"
#include "common/base/status.h"

namespace quantfleet::agent {

struct ChatMessage {
  std::string role;  // "system", "user", "assistant"
  std::string content;
};

struct ChatPrompt {
  std::string text;               // without the token that begins a text
  std::vector<DataRange> data;    // what the messages say; the rest is the template's
  std::vector<std::string> stop;  // where the assistant's turn ends
};

// `chat_template`: the model's own (Jinja), recognised by what tells it from others; templates are not run.
// Known are those of Phi-3 and 3.5, Phi-4, Phi-4-mini, Llama 2 and 3, Mistral's generations, and ChatML as
// Qwen 2 and 2.5 have it. A model without one was never taught turns: its messages are put one after the
// other as they are. INVALID_ARGUMENT: another template, or an order of roles that the template refuses.
absl::StatusOr<ChatPrompt> RenderChat(std::string_view chat_template,
                                      const std::vector<ChatMessage>& messages);

}  // namespace quantfleet::agent
