#include "text/template/chat_template.h"

#include <algorithm>
#include <boost/json.hpp>

#include "common/base/outside_text.h"

namespace quantfleet::text {
namespace {

namespace json = boost::json;

// What no template says itself.
constexpr std::string_view kSystem = "qf-system", kUser = "qf-user", kAnswer = "qf-answer",
                           kTool = "qf_tool", kArgument = "qf_argument", kResult = "qf-result";

// The conversations that a known template must be carried out for: of the first so many messages.
Chat Talk(bool system, size_t size) {
  Chat chat;
  if (system) chat.messages.push_back(MakeMessage("system", kSystem));
  for (size_t i = 0; i < size; ++i)
    chat.messages.push_back(i % 2 == 0 ? MakeMessage("user", kUser)
                                       : MakeMessage("assistant", kAnswer));
  return chat;
}

json::string JsonText(std::string_view text) { return json::string(text.data(), text.size()); }

json::object Tool() {
  const json::object argument{{"type", "string"}, {"description", "qf"}};
  return {{"type", "function"},
          {"function",
           {{"name", JsonText(kTool)},
            {"description", "qf"},
            {"parameters",
             {{"type", "object"},
              {"properties", {{JsonText(kArgument), argument}}},
              {"required", json::array{JsonText(kArgument)}}}}}}};
}

// A call and its result. Some templates want ids of nine letters and digits.
Chat Called(const json::value& arguments, bool content) {
  Chat chat = Talk(false, 1);
  json::object call{{"id", "qf0000001"},
                    {"type", "function"},
                    {"function", {{"name", JsonText(kTool)}, {"arguments", arguments}}}};
  json::object caller{{"role", "assistant"}};
  if (content) caller["content"] = "";
  caller["tool_calls"] = json::array{std::move(call)};
  chat.messages.push_back(std::move(caller));
  json::object result = MakeMessage("tool", kResult);
  result["tool_call_id"] = "qf0000001";
  result["name"] = JsonText(kTool);
  chat.messages.push_back(std::move(result));
  chat.tools.push_back(Tool());
  return chat;
}

constexpr size_t kMaxReason = 200;  // bytes of a template's words, for a line of a report

size_t Count(std::string_view text, std::string_view part) {
  size_t count = 0;
  for (size_t at = 0; (at = text.find(part, at)) != std::string_view::npos; at += part.size())
    ++count;
  return count;
}

bool Has(const absl::StatusOr<jinja::MarkedText>& made, std::string_view part) {
  return made.ok() && made->bytes.find(part) != std::string::npos;
}

std::string Reason(const absl::Status& status) { return Shown(Message(status), kMaxReason); }

bool Says(const json::object& message, const char* name) {
  const json::value* value = message.if_contains(name);
  return value != nullptr && !value->is_null() &&
         !(value->is_array() && value->get_array().empty());
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

ChatTemplate ChatTemplate::Plain() {
  ChatTemplate plain;
  plain.plain_ = true;
  return plain;
}

ChatTemplate ChatTemplate::Read(std::string_view jinja, ControlTokens tokens,
                                std::string_view with_tools) {
  ChatTemplate read;
  read.tokens_ = std::move(tokens);
  if (jinja.empty()) return read;
  absl::Status status = read.Probe(jinja, read.chat_);
  if (status.ok() && !with_tools.empty()) {
    status = read.Probe(with_tools, read.tools_.emplace());
    if (!status.ok()) status = Annotate(status, "the template for tools");
  }
  read.state_ = status.ok() ? State::kKnown : State::kUnknown;
  if (!status.ok()) read.why_ = Reason(status);
  return read;
}

absl::StatusOr<jinja::MarkedText> ChatTemplate::Try(const One& one, const Chat& chat) const {
  QF_ASSIGN_OR_RETURN(const jinja::Variables variables, ChatValues(chat, one.shape, tokens_));
  return one.read->Render(variables, 0);
}

absl::Status ChatTemplate::Probe(std::string_view jinja, One& one) {
  QF_ASSIGN_OR_RETURN(one.read, jinja::Template::Read(jinja));
  one.shape.knows_developer = jinja.find("developer") != std::string_view::npos;
  ProbeParts(one);
  QF_RETURN_IF_ERROR(ProbeTalk(one));
  ProbeTools(one);
  return absl::OkStatus();
}

// A text where a list is wanted is left out, or goes wrong; a list where a text is wanted is
// printed as it stands, or goes wrong.
void ChatTemplate::ProbeParts(One& one) {
  const Chat asks = Talk(false, 1);
  const absl::StatusOr<jinja::MarkedText> text = Try(one, asks);
  if (absl::IsResourceExhausted(text.status())) return;  // it would not end the second time either
  Chat parts;
  parts.messages.push_back(
      {{"role", "user"},
       {"content", json::array{json::object{{"type", "text"}, {"text", JsonText(kUser)}}}}});
  one.shape.takes_parts = true;
  const absl::StatusOr<jinja::MarkedText> list = Try(one, parts);
  one.shape.takes_parts =
      Has(list, kUser) && !Has(list, "'type'") && !Has(list, "\"type\"") && !Has(list, "&#39;type");
  one.shape.needs_parts = one.shape.takes_parts && !Has(text, kUser);
}

absl::Status ChatTemplate::ProbeTalk(One& one) {
  for (const bool system : {false, true})
    for (const size_t size : {1, 3, 5}) {
      const absl::StatusOr<jinja::MarkedText> made = Try(one, Talk(system, size));
      if (!made.ok()) {
        // A template may refuse system messages, but not a user.
        if (system && absl::IsInvalidArgument(made.status())) continue;
        return made.status();
      }
      if (Count(made->bytes, kUser) != (size + 1) / 2)
        return FailedPrecondition("it leaves out user messages");
      if (system && Count(made->bytes, kSystem) == 0) one.drops_system = true;
      if (!system && size == 3 && &one == &chat_) FindStop(*made);
    }
  return absl::OkStatus();
}

// Whether arguments go as an object or as text, whether a call may lack content, and what of it all
// the template has a place for.
void ChatTemplate::ProbeTools(One& one) {
  Chat offered = Talk(false, 1);
  offered.tools.push_back(Tool());
  const absl::StatusOr<jinja::MarkedText> tools = Try(one, offered);
  one.takes_tools = Has(tools, kTool);
  if (absl::IsResourceExhausted(tools.status())) return;
  const json::object arguments{{JsonText(kArgument), "qf"}};
  const std::string quoted = "'" + std::string(kArgument) + "'";
  for (const bool content : {false, true})
    for (const bool as_text : {false, true}) {
      one.shape.needs_content = content;
      one.shape.arguments_as_text = as_text;
      const absl::StatusOr<jinja::MarkedText> made = Try(one, Called(arguments, content));
      if (absl::IsResourceExhausted(made.status())) return;
      // Python's spelling of an object is what nobody means; nor is JSON within a JSON text.
      if (!Has(made, kTool) || !Has(made, kArgument) || Has(made, quoted) ||
          Has(made, "\\\"" + std::string(kArgument)))
        continue;
      one.takes_calls = true;
      one.takes_results = Has(made, kResult);
      return;
    }
  one.shape.needs_content = one.shape.arguments_as_text = false;
  one.takes_results = Has(Try(one, Called(arguments, true)), kResult);
}

// The mark behind an answer, as "<|end|>", stops the next one too, also in vocabularies that lack
// it as a token.
void ChatTemplate::FindStop(const jinja::MarkedText& talk) {
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
      if (plain_)
        return "the model has no chat template: as you chose, the contents of a chat's messages "
               "are "
               "joined as they are, and the model continues the text";
      return "the model has no chat template: the agent's own engine refuses chats with it, unless "
             "it is started with --plain-chat, and answers only /v1/completions";
    case State::kUnknown:
      return fmt::format(
          "the model's chat template cannot be carried out ({}): the agent's own engine refuses "
          "chats with it and answers only /v1/completions",
          why_);
    case State::kKnown:
      break;
  }
  return drops_system() ? "the model's chat template leaves out system messages" : "";
}

// What the template has no place for would be dropped without a word.
absl::Status ChatTemplate::Check(const Chat& chat, const One& one) const {
  if (!chat.tools.empty() && !one.takes_tools)
    return InvalidArgument(
        "this model's chat template has no place for tools: leave them out, or put what they are "
        "into a message");
  for (size_t i = 0; i < chat.messages.size(); ++i) {
    const json::object* message = chat.messages[i].if_object();
    if (message == nullptr) continue;  // said elsewhere
    const json::value* role = message->if_contains("role");
    const bool result = role != nullptr && (*role == "tool" || *role == "function");
    if ((Says(*message, "tool_calls") && !one.takes_calls) || (result && !one.takes_results))
      return InvalidArgument(
          "messages[{}] is part of a tool call, and this model's chat template has no place for "
          "it: leave out the calls and their results, or put what they say into a message of the "
          "user",
          i);
  }
  return absl::OkStatus();
}

absl::StatusOr<ChatPrompt> ChatTemplate::Render(const Chat& chat, int64_t now) const {
  if (chat.messages.empty()) return InvalidArgument("the chat has no messages");
  if (state_ == State::kAbsent) {
    if (!plain_)
      return InvalidArgument(
          "this model has no chat template, it was never taught turns: send the prompt to "
          "/v1/completions, or start the agent with --plain-chat");
    QF_RETURN_IF_ERROR(Check(chat, chat_));
    QF_ASSIGN_OR_RETURN(const jinja::Variables variables, ChatValues(chat, {}, tokens_));
    jinja::MarkedText all;
    for (const jinja::Value& message : variables[0].second.sequence().items)
      if (const jinja::Value* content = message.dictionary().Find("content"); content->IsText())
        all.Append(content->text().marked);
    return ChatPrompt{std::move(all.bytes), std::move(all.data), {}};
  }
  if (state_ == State::kUnknown)
    return InvalidArgument(
        "this model's chat template cannot be carried out ({}): write the prompt in the model's "
        "format and send it to /v1/completions",
        why_);
  const One& one = chat.tools.empty() ? chat_ : ForTools();
  QF_RETURN_IF_ERROR(Check(chat, one));
  QF_ASSIGN_OR_RETURN(const jinja::Variables variables, ChatValues(chat, one.shape, tokens_));
  absl::StatusOr<jinja::MarkedText> made = one.read->Render(variables, now);
  if (absl::IsInvalidArgument(made.status()))
    return InvalidArgument("this model's chat template refuses the conversation: {}",
                           Reason(made.status()));
  if (!made.ok())
    return InvalidArgument(
        "this model's chat template cannot be carried out for this conversation ({}): write the "
        "prompt in the model's format and send it to /v1/completions",
        Reason(made.status()));
  const json::object* last = chat.messages.back().if_object();
  if (chat.add_generation_prompt && last != nullptr && last->at("role") == "assistant" &&
      !tokens_.end.empty() && made->bytes.ends_with(tokens_.end))
    return InvalidArgument(
        "this model's chat template starts no turn after the assistant's: the user's message must "
        "be last");
  size_t begin = 0;
  if (tokens_.adds_begin && !tokens_.begin.empty() && made->bytes.starts_with(tokens_.begin) &&
      (made->data.empty() || made->data.front().begin >= tokens_.begin.size()))
    begin = tokens_.begin.size();
  jinja::MarkedText prompt = made->Slice(begin, made->bytes.size());
  return ChatPrompt{std::move(prompt.bytes), std::move(prompt.data), stop_};
}

}  // namespace quantfleet::text
