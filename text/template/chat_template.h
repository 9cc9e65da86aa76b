// A conversation as the single text that a model continues, by the model's own template. Pure;
// immutable after Read, therefore thread-safe.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/status.h"
#include "text/jinja/marked_text.h"
#include "text/jinja/template.h"
#include "text/template/chat_values.h"
#include "text/template/conversation.h"

namespace quantfleet::text {

struct ChatPrompt {
  std::string text;  // without the token that begins a text, where the tokenizer adds it
  std::vector<jinja::ByteRange> data;  // what comes from messages; the rest is the template's own
  std::vector<std::string>
      stop;  // where the assistant's turn ends, beside the model's own end tokens
};

class ChatTemplate {
 public:
  // A template (Jinja) is known when it can be carried out for usual conversations, and its texts
  // contain what the user said. Nothing is guessed: any other template is unknown, and refused.
  enum class State { kAbsent, kKnown, kUnknown };

  // `with_tools`: the model's other template, for chats with tools; empty: there is none.
  static ChatTemplate Read(std::string_view jinja, ControlTokens tokens,
                           std::string_view with_tools = "");
  // For models without one, where the user chose that: the contents of the messages one after the
  // other, as they are.
  static ChatTemplate Plain();

  State state() const { return state_; }
  const std::string& why() const { return why_; }  // kUnknown: with line and column
  // True when the template silently drops system messages.
  bool drops_system() const { return chat_.drops_system; }
  // Whether tools, and what came of their calls, have a place in it.
  bool takes_tools() const { return ForTools().takes_tools; }
  // A warning for people; empty: none.
  std::string Warning() const;

  // `now`: Unix seconds, for templates that mention the date. INVALID_ARGUMENT: no template, an
  // unknown one, a message that is not as OpenAI's API has it, a conversation that the template
  // refuses or cannot be carried out for, or tools where it has no place for them.
  absl::StatusOr<ChatPrompt> Render(const Chat& chat, int64_t now) const;

 private:
  // A template, and what probing found out about it.
  struct One {
    std::optional<jinja::Template> read;
    ChatShape shape;
    bool drops_system = false, takes_tools = false, takes_calls = false, takes_results = false;
  };

  const One& ForTools() const { return tools_ && tools_->read ? *tools_ : chat_; }
  absl::Status Check(const Chat& chat, const One& one) const;
  // OK: it is known.
  absl::Status Probe(std::string_view jinja, One& one);
  absl::Status ProbeTalk(One& one);
  void ProbeParts(One& one);
  void ProbeTools(One& one);
  absl::StatusOr<jinja::MarkedText> Try(const One& one, const Chat& chat) const;
  void FindStop(const jinja::MarkedText& talk);

  State state_ = State::kAbsent;
  bool plain_ = false;
  std::string why_;
  ControlTokens tokens_;
  One chat_;
  std::optional<One> tools_;
  std::vector<std::string> stop_;
};

// "known", "unknown", "absent".
std::string_view Name(ChatTemplate::State state);

}  // namespace quantfleet::text
