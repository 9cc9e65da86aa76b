#include "agent/serve/chat.h"

#include <algorithm>

namespace quantfleet::agent {
namespace {

constexpr std::string_view kSpaces = " \t\n\r\f\v";

std::string_view TrimRight(std::string_view text) {
  const size_t last = text.find_last_not_of(kSpaces);
  return last == std::string_view::npos ? std::string_view() : text.substr(0, last + 1);
}

std::string_view Trim(std::string_view text) {
  const size_t first = text.find_first_not_of(kSpaces);
  return first == std::string_view::npos ? std::string_view() : TrimRight(text.substr(first));
}

// A template as its authors wrote it, and without white space and with one kind of quotes, so that an
// expression in it is found however it is spaced.
class Template {
 public:
  explicit Template(std::string_view text) : text_(text) {
    for (const char c : text)
      if (kSpaces.find(c) == std::string_view::npos) squeezed_ += c == '"' ? '\'' : c;
  }
  bool Has(std::string_view part) const { return text_.find(part) != std::string_view::npos; }
  bool HasExpression(std::string_view part) const { return squeezed_.find(part) != std::string::npos; }
  std::string_view text() const { return text_; }

 private:
  std::string_view text_;
  std::string squeezed_;
};

class PromptBuilder {
 public:
  PromptBuilder& Mark(std::string_view text) {
    prompt_.text += text;
    return *this;
  }
  PromptBuilder& Data(std::string_view text) {
    const size_t begin = prompt_.text.size();
    prompt_.text += text;
    if (!text.empty()) prompt_.data.push_back({begin, prompt_.text.size()});
    return *this;
  }
  PromptBuilder& StopAt(std::string_view text) {
    prompt_.stop.emplace_back(text);
    return *this;
  }
  ChatPrompt Take() { return std::move(prompt_); }

 private:
  ChatPrompt prompt_;
};

// Templates in which every turn is written alike, whoever has it.
struct Turns {
  std::string_view before_role, after_role, after_content;
  bool trims = false;
  std::string_view stop, other_stop = {};
};

constexpr Turns kPhi3 = {"<|", "|>\n", "<|end|>\n", false, "<|end|>", "<|endoftext|>"};
constexpr Turns kPhi4Mini = {"<|", "|>", "<|end|>", false, "<|end|>", "<|endoftext|>"};
constexpr Turns kPhi4 = {"<|im_start|>", "<|im_sep|>", "<|im_end|>", false, "<|im_end|>"};
constexpr Turns kChatMl = {"<|im_start|>", "\n", "<|im_end|>\n", false, "<|im_end|>"};
constexpr Turns kLlama3 = {"<|start_header_id|>", "<|end_header_id|>\n\n", "<|eot_id|>", true, "<|eot_id|>"};

// Llama 3.1 and later begin every conversation with this, in a system turn. Their date is the day of the
// template where nobody gives another.
constexpr std::string_view kLlama31Dates =
    "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n";

// Null: not of this kind.
const Turns* FindTurns(const Template& of) {
  if (of.Has("<|im_start|>"))
    return of.Has("<|im_sep|>") ? &kPhi4 : of.Has("<|im_end|>") ? &kChatMl : nullptr;
  if (of.Has("<|start_header_id|>") && of.Has("<|end_header_id|>") && of.Has("<|eot_id|>")) return &kLlama3;
  if (!of.Has("<|assistant|>") || !of.Has("<|end|>")) return nullptr;
  if (of.Has("<|user|>")) return &kPhi3;
  return of.HasExpression("'<|'+message['role']+'|>'+message['content']+'<|end|>'") ? &kPhi4Mini : nullptr;
}

// What a ChatML template says as the system where the conversation does not ("You are Qwen, ..."); empty:
// nothing.
std::string_view DefaultSystem(std::string_view text) {
  constexpr std::string_view kOpen = "<|im_start|>system\\n", kClose = "<|im_end|>";
  for (size_t at = 0; (at = text.find(kOpen, at)) != std::string_view::npos;) {
    at += kOpen.size();
    const std::string_view rest = text.substr(at);
    const std::string_view said = rest.substr(0, rest.find(kClose));
    if (said.size() < rest.size() && said.find_first_of("'\"{}\\") == std::string_view::npos) return said;
  }
  return {};
}

ChatPrompt RenderTurns(const Template& of, const Turns& turns, const std::vector<ChatMessage>& messages) {
  PromptBuilder prompt;
  const auto open = [&](std::string_view role) {
    prompt.Mark(turns.before_role).Mark(role).Mark(turns.after_role);
  };
  const bool system_first = messages.front().role == "system";
  const std::string_view dates =
      &turns == &kLlama3 && of.Has("Cutting Knowledge Date: ") ? kLlama31Dates : std::string_view();
  const std::string_view said = &turns == &kChatMl ? DefaultSystem(of.text()) : dates;
  if (!system_first && !said.empty()) {
    open("system");
    prompt.Mark(said).Mark(turns.after_content);
  }
  const bool skips_empty = of.HasExpression("message['role']=='system'andmessage['content']");
  for (size_t i = 0; i < messages.size(); ++i) {
    const auto& [role, content] = messages[i];
    if (skips_empty && role == "system" && content.empty()) continue;
    open(role);
    if (i == 0 && system_first) prompt.Mark(dates);
    prompt.Data(turns.trims ? Trim(content) : content).Mark(turns.after_content);
  }
  open("assistant");
  prompt.StopAt(turns.stop);
  if (!turns.other_stop.empty()) prompt.StopAt(turns.other_stop);
  return prompt.Take();
}

// Llama 2 and Mistral: the user speaks in brackets, the assistant's turn ends with the token that ends a
// text. They take a system message first, if any, and user and assistant by turns.
struct Bracketed {
  std::string_view system;  // empty: none
  std::vector<ChatMessage> turns;
};

absl::StatusOr<Bracketed> SplitTurns(const std::vector<ChatMessage>& messages) {
  Bracketed split;
  split.turns = messages;
  if (messages.front().role == "system") {
    split.system = messages.front().content;
    split.turns.erase(split.turns.begin());
  }
  for (size_t i = 0; i < split.turns.size(); ++i)
    if (split.turns[i].role != (i % 2 == 0 ? "user" : "assistant"))
      return InvalidArgument(
          "this model's template takes user and assistant by turns, after a system message if any; message "
          "{} "
          "is of another role",
          i + (split.turns.size() == messages.size() ? 1 : 2));
  if (split.turns.size() % 2 == 0)
    return InvalidArgument("this model's template wants the user's message last");
  return split;
}

absl::StatusOr<ChatPrompt> RenderLlama2(const Template& of, const std::vector<ChatMessage>& messages) {
  QF_ASSIGN_OR_RETURN(const Bracketed split, SplitTurns(messages));
  const bool trims = of.HasExpression("content.strip()") || of.HasExpression("content|trim");
  const bool begins_again = of.HasExpression("bos_token+'[INST]");
  PromptBuilder prompt;
  for (size_t i = 0; i < split.turns.size(); ++i) {
    const std::string_view content = split.turns[i].content;
    if (i % 2 == 1) {
      prompt.Mark(" ").Data(trims ? Trim(content) : content).Mark(" </s>");
      continue;
    }
    if (i > 0 && begins_again) prompt.Mark("<s>");
    prompt.Mark("[INST] ");
    const bool system = i == 0 && messages.front().role == "system";
    if (system) prompt.Mark("<<SYS>>\n").Data(split.system).Mark("\n<</SYS>>\n\n");
    // The template trims the system's and the user's text as one.
    prompt.Data(!trims ? content : system ? TrimRight(content) : Trim(content)).Mark(" [/INST]");
  }
  return prompt.Take();
}

// Mistral's generations differ in spaces, and in where the system's message goes; each template says it.
absl::StatusOr<ChatPrompt> RenderMistral(const Template& of, const std::vector<ChatMessage>& messages) {
  QF_ASSIGN_OR_RETURN(const Bracketed split, SplitTurns(messages));
  const std::string_view open = of.Has("' [INST] ") || of.Has("\" [INST] ") ? " [INST] "
                                : of.Has("[INST] ")                         ? "[INST] "
                                                                            : "[INST]";
  const std::string_view close = of.Has(" [/INST]") ? " [/INST]" : "[/INST]";
  const bool space = of.Has("' ' + message") || of.Has("\" \" + message") || of.Has("' ' + content");
  const bool trims = of.HasExpression("message['content']|trim+eos_token");
  const bool has_system = messages.front().role == "system";
  const bool own_turn = of.Has("[SYSTEM_PROMPT]");
  const bool with_last = of.HasExpression("loop.lastandsystem_message");
  if (has_system && !own_turn && !of.Has("system_message"))
    return InvalidArgument(
        "this model's template takes no system message: put its text into the first message of the user");
  PromptBuilder prompt;
  if (has_system && own_turn)
    prompt.Mark(of.Has("[SYSTEM_PROMPT] ") ? "[SYSTEM_PROMPT] " : "[SYSTEM_PROMPT]")
        .Data(split.system)
        .Mark("[/SYSTEM_PROMPT]");
  for (size_t i = 0; i < split.turns.size(); ++i) {
    const std::string_view content = split.turns[i].content;
    if (i % 2 == 1) {
      prompt.Mark(space ? " " : "").Data(trims ? Trim(content) : content).Mark("</s>");
      if (of.HasExpression("eos_token+''")) prompt.Mark(" ");
      continue;
    }
    prompt.Mark(open);
    if (has_system && !own_turn && i == (with_last ? split.turns.size() - 1 : 0))
      prompt.Data(split.system).Mark("\n\n");
    prompt.Data(content).Mark(close);
  }
  return prompt.Take();
}

}  // namespace

absl::StatusOr<ChatPrompt> RenderChat(std::string_view chat_template,
                                      const std::vector<ChatMessage>& messages) {
  if (messages.empty()) return InvalidArgument("a chat without messages");
  if (chat_template.empty()) {
    PromptBuilder prompt;
    for (const ChatMessage& message : messages) prompt.Data(message.content);
    return prompt.Take();
  }
  const Template of(chat_template);
  if (const Turns* turns = FindTurns(of); turns != nullptr) return RenderTurns(of, *turns, messages);
  if (of.Has("[INST]") && of.Has("[/INST]"))
    return of.Has("<<SYS>>") ? RenderLlama2(of, messages) : RenderMistral(of, messages);
  return InvalidArgument(
      "this model's chat template is not one that the agent knows (Phi-3, Phi-4, Llama 2 and 3, Mistral, "
      "ChatML): write the prompt as the model wants it and send it to /v1/completions");
}

}  // namespace quantfleet::agent
