// A conversation as the single text that a model continues, by the model's own template. Pure;
// immutable after Read, therefore thread-safe.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/base/status.h"
#include "text/template/conversation.h"
#include "text/template/marked_text.h"
#include "text/template/syntax.h"

namespace quantfleet::text {

struct ChatPrompt {
  std::string text;             // without the token that begins a text, where the tokenizer adds it
  std::vector<ByteRange> data;  // what comes from messages; the rest is the template's own
  std::vector<std::string>
      stop;  // where the assistant's turn ends, beside the model's own end tokens
};

class ChatTemplate {
 public:
  // A template (Jinja) is known when all that it does with usual conversations is understood
  // exactly, and its texts contain what the user said. What it would do with tools does not matter.
  // Nothing is guessed: any other template is unknown, and refused.
  enum class State { kAbsent, kKnown, kUnknown };

  static ChatTemplate Read(std::string_view jinja, ControlTokens tokens);

  State state() const { return state_; }
  const std::string& why() const { return why_; }  // kUnknown: what is not understood
  // True when the template silently drops system messages.
  bool drops_system() const { return drops_system_; }
  // A warning for people; empty: none.
  std::string Warning() const;

  // `now`: Unix seconds, for templates that mention the date. A model without a template was never
  // taught turns: its messages are joined one after the other as they are. INVALID_ARGUMENT: an
  // unknown template, or a conversation that the template refuses.
  absl::StatusOr<ChatPrompt> Render(const std::vector<ChatMessage>& messages, int64_t now) const;

 private:
  void Probe();
  void FindStop(const MarkedText& talk);

  State state_ = State::kAbsent;
  std::string why_;
  bool drops_system_ = false;
  ControlTokens tokens_;
  std::vector<Statement> statements_;
  std::vector<std::string> stop_;
};

// "known", "unknown", "absent".
std::string_view Name(ChatTemplate::State state);

}  // namespace quantfleet::text
