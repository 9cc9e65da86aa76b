#include "agent/serve/chat.h"

namespace quantfleet::agent {
namespace {

constexpr std::string_view kEnd = "<|end|>";

bool IsPhi3(std::string_view chat_template) {
  for (const std::string_view marker :
       {std::string_view("<|user|>"), std::string_view("<|assistant|>"), kEnd})
    if (chat_template.find(marker) == std::string_view::npos) return false;
  return true;
}

}  // namespace

absl::StatusOr<ChatPrompt> RenderChat(std::string_view chat_template,
                                      const std::vector<ChatMessage>& messages) {
  ChatPrompt prompt;
  if (chat_template.empty()) {
    for (const ChatMessage& message : messages) prompt.text += message.content;
    return prompt;
  }
  if (!IsPhi3(chat_template))
    return InvalidArgument(
        "this model's chat template is not one that the agent knows: write the prompt as the model "
        "wants it and send it to /v1/completions");
  for (const ChatMessage& message : messages) {
    // Text that contains markers could pose as somebody else's turn.
    for (const char* marker : {"<|system|>", "<|user|>", "<|assistant|>", "<|end|>", "<|endoftext|>"})
      if (message.content.find(marker) != std::string::npos)
        return InvalidArgument("a message contains {}, which marks turns in this model's template", marker);
    prompt.text += fmt::format("<|{}|>\n{}{}\n", message.role, message.content, kEnd);
  }
  prompt.text += "<|assistant|>\n";
  prompt.stop = {std::string(kEnd), "<|endoftext|>"};
  return prompt;
}

}  // namespace quantfleet::agent
