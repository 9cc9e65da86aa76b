#include "text/template/chat_template.h"

#include <algorithm>

#include "common/base/outside_text.h"
#include "text/template/evaluate.h"

namespace quantfleet::text {
namespace {

// What no template says itself.
constexpr std::string_view kSystem = "qf-system", kUser = "qf-user", kAnswer = "qf-answer";

// The conversations that a known template must be understood in.
const std::vector<ChatMessage>& Talk() {
  static const std::vector<ChatMessage> talk = {
      {"system", std::string(kSystem)},    {"user", std::string(kUser)},
      {"assistant", std::string(kAnswer)}, {"user", std::string(kUser)},
      {"assistant", std::string(kAnswer)}, {"user", std::string(kUser)}};
  return talk;
}

constexpr size_t kMaxReason = 160;  // bytes of a template's words, for a line of a report

size_t Count(std::string_view text, std::string_view part) {
  size_t count = 0;
  for (size_t at = 0; (at = text.find(part, at)) != std::string_view::npos; at += part.size())
    ++count;
  return count;
}

}  // namespace

std::string_view Name(ChatTemplate::State state) {
  switch (state) {
    case ChatTemplate::State::kAbsent:
      return "absent";
    case ChatTemplate::State::kKnown:
      return "known";
    case ChatTemplate::State::kUnknown:
      break;
  }
  return "unknown";
}

ChatTemplate ChatTemplate::Read(std::string_view jinja, ControlTokens tokens) {
  ChatTemplate read;
  read.tokens_ = std::move(tokens);
  if (jinja.empty()) return read;
  read.state_ = State::kUnknown;
  absl::StatusOr<std::vector<Statement>> statements = ReadTemplate(jinja);
  if (!statements.ok()) {
    read.why_ = Shown(Message(statements.status()), kMaxReason);
    return read;
  }
  read.statements_ = *std::move(statements);
  read.Probe();
  return read;
}

void ChatTemplate::Probe() {
  for (const bool system : {false, true})
    for (const ptrdiff_t size : {1, 3, 5}) {
      const auto begin = Talk().begin() + (system ? 0 : 1);
      const std::vector<ChatMessage> messages(begin, Talk().begin() + 1 + size);
      const auto made = Evaluate(statements_, {messages, tokens_, 0});
      if (!made.ok()) {
        // A template may refuse system messages, but not a user.
        if (system && absl::IsInvalidArgument(made.status())) continue;
        why_ = Shown(Message(made.status()), kMaxReason);
        return;
      }
      if (Count(made->bytes, kUser) != static_cast<size_t>(size + 1) / 2) {
        why_ = "it leaves out user messages, as templates do that expect lists of parts";
        return;
      }
      if (system && Count(made->bytes, kSystem) == 0) drops_system_ = true;
      if (!system && size == 3) FindStop(*made);
    }
  state_ = State::kKnown;
}

// The mark behind an answer, as "<|end|>", stops the next one too, also in vocabularies that lack
// it as a token.
void ChatTemplate::FindStop(const MarkedText& talk) {
  const size_t at = talk.bytes.find(kAnswer);
  if (at == std::string::npos) return;
  std::string_view rest = std::string_view(talk.bytes).substr(at + kAnswer.size());
  rest.remove_prefix(std::min(rest.find_first_not_of(" \n"), rest.size()));
  const size_t end = rest.find('>');
  if (!rest.starts_with('<') || end == std::string_view::npos) return;
  const std::string_view mark = rest.substr(0, end + 1);
  if (mark.size() <= 64 && mark.find_first_of(" \n") == std::string_view::npos &&
      mark != tokens_.end)
    stop_.emplace_back(mark);
}

std::string ChatTemplate::Warning() const {
  switch (state_) {
    case State::kAbsent:
      return "the model has no chat template: the contents of a chat's messages are joined as they "
             "are, and the model continues the text";
    case State::kUnknown:
      return fmt::format(
          "the model's chat template is not known to this version ({}): the agent's own engine "
          "refuses chats with it and answers only /v1/completions",
          why_);
    case State::kKnown:
      break;
  }
  return drops_system_ ? "the model's chat template leaves out system messages" : "";
}

absl::StatusOr<ChatPrompt> ChatTemplate::Render(const std::vector<ChatMessage>& messages,
                                                int64_t now) const {
  if (messages.empty()) return InvalidArgument("the chat has no messages");
  if (state_ == State::kAbsent) {
    MarkedText all;
    for (const ChatMessage& message : messages) all.Append(MarkedText::Data(message.content));
    return ChatPrompt{std::move(all.bytes), std::move(all.data), {}};
  }
  if (state_ == State::kUnknown)
    return InvalidArgument(
        "this model's chat template is not known to the agent ({}): write the prompt in the "
        "model's format and send it to /v1/completions",
        why_);
  absl::StatusOr<MarkedText> made = Evaluate(statements_, {messages, tokens_, now});
  if (absl::IsInvalidArgument(made.status()))
    return InvalidArgument("this model's chat template refuses the conversation: {}",
                           Shown(Message(made.status()), kMaxReason));
  if (absl::IsUnimplemented(made.status()))
    return InvalidArgument(
        "this model's chat template is not known to the agent for this conversation ({}): write "
        "the prompt in the model's format and send it to /v1/completions",
        Shown(Message(made.status()), kMaxReason));
  QF_RETURN_IF_ERROR(made.status());
  if (messages.back().role == "assistant" && !tokens_.end.empty() &&
      made->bytes.ends_with(tokens_.end))
    return InvalidArgument(
        "this model's chat template starts no turn after the assistant's: the user's message must "
        "be last");
  size_t begin = 0;
  if (tokens_.adds_begin && !tokens_.begin.empty() && made->bytes.starts_with(tokens_.begin) &&
      (made->data.empty() || made->data.front().begin >= tokens_.begin.size()))
    begin = tokens_.begin.size();
  MarkedText prompt = made->Slice(begin, made->bytes.size());
  return ChatPrompt{std::move(prompt.bytes), std::move(prompt.data), stop_};
}

}  // namespace quantfleet::text
