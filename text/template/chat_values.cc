#include "text/template/chat_values.h"

#include <algorithm>
#include <boost/json.hpp>

#include "common/base/outside_text.h"
#include "text/jinja/json_values.h"

namespace quantfleet::text {
namespace {

namespace json = boost::json;

constexpr std::string_view kKnownRoles[] = {"system",    "developer", "user",
                                            "assistant", "tool",      "function"};
// What the agent itself tells a template.
constexpr std::string_view kReserved[] = {"messages", "tools", "add_generation_prompt", "bos_token",
                                          "eos_token"};
// Names of thoughts that clients use; the first that is there counts.
constexpr const char* kReasoning[] = {"reasoning_content", "thinking", "reasoning"};

std::string_view View(json::string_view text) { return {text.data(), text.size()}; }

bool IsTextPart(const json::value& part) {
  const json::object* object = part.if_object();
  const json::value* type = object == nullptr ? nullptr : object->if_contains("type");
  const json::value* text = object == nullptr ? nullptr : object->if_contains("text");
  return type != nullptr && *type == "text" && text != nullptr && text->is_string();
}

absl::StatusOr<json::value> Content(const json::value& content, const ChatShape& shape,
                                    size_t index) {
  if (const json::string* text = content.if_string()) {
    if (!shape.needs_parts) return content;
    return json::array{json::object{{"type", "text"}, {"text", *text}}};
  }
  const json::array* parts = content.if_array();
  if (parts == nullptr)
    return InvalidArgument("messages[{}]: content must be a string or a list of parts", index);
  std::string joined;
  for (const json::value& part : *parts) {
    if (!IsTextPart(part))
      return InvalidArgument("messages[{}]: only text is supported as a part of the content",
                             index);
    joined += View(part.get_object().at("text").get_string());
  }
  if (shape.takes_parts || shape.needs_parts) return content;
  return json::value(json::string(joined));
}

// Arguments in the form that the template wants. What is not JSON stays the text that it is.
void ShapeArguments(json::object& function, const ChatShape& shape) {
  json::value* arguments = function.if_contains("arguments");
  if (arguments == nullptr) return;
  if (shape.arguments_as_text) {
    if (!arguments->is_string()) *arguments = json::string(json::serialize(*arguments));
    return;
  }
  const json::string* text = arguments->if_string();
  if (text == nullptr) return;
  boost::system::error_code error;
  json::parse_options options;
  options.max_depth = 16;
  json::value parsed = json::parse(*text, error, {}, options);
  if (!error && parsed.is_object()) *arguments = std::move(parsed);
}

absl::Status ShapeCalls(json::value& calls, const ChatShape& shape, size_t index) {
  json::array* list = calls.if_array();
  if (list == nullptr)
    return InvalidArgument("messages[{}]: tool_calls must be a list of objects", index);
  for (json::value& call : *list) {
    json::object* object = call.if_object();
    if (object == nullptr)
      return InvalidArgument("messages[{}]: tool_calls must be a list of objects", index);
    if (json::value* function = object->if_contains("function"); function && function->is_object())
      ShapeArguments(function->get_object(), shape);
  }
  return absl::OkStatus();
}

// As transformers: the same thoughts under each name that templates look for.
json::object WithReasoning(json::object message) {
  for (const char* name : kReasoning) {
    const json::value* found = message.if_contains(name);
    if (found == nullptr) continue;
    const json::value reasoning = *found;
    json::object all{{"thinking", reasoning}};
    for (const auto& [key, value] : message) all[key] = value;
    all["reasoning_content"] = reasoning;
    return all;
  }
  return message;
}

absl::StatusOr<jinja::Value> MessageValue(const json::value& value, const ChatShape& shape,
                                          size_t index) {
  const json::object* given = value.if_object();
  if (given == nullptr) return InvalidArgument("messages[{}] must be an object", index);
  json::object message;
  for (const auto& [key, field] : *given)
    if (!field.is_null()) message[key] = field;
  const json::value* said = message.if_contains("role");
  std::string role(said != nullptr && said->is_string() ? View(said->get_string()) : "");
  if (!IsRole(role))
    return InvalidArgument("messages[{}]: role must be {}, not \"{}\"", index, kRoles,
                           Shown(role, 60));
  if (role == "developer" && !shape.knows_developer) role = "system";
  if (json::value* content = message.if_contains("content")) {
    QF_ASSIGN_OR_RETURN(*content, Content(*content, shape, index));
  } else if (message.contains("tool_calls") || shape.needs_content) {
    if (shape.needs_content) {
      QF_ASSIGN_OR_RETURN(message["content"], Content(json::string(), shape, index));
    }
  } else {
    return InvalidArgument("messages[{}] needs a content", index);
  }
  if (json::value* calls = message.if_contains("tool_calls"))
    QF_RETURN_IF_ERROR(ShapeCalls(*calls, shape, index));
  QF_ASSIGN_OR_RETURN(const jinja::Value made, jinja::FromJson(WithReasoning(std::move(message))));
  // Its text is the template's, not the user's: templates build their marks of it.
  std::vector<std::pair<jinja::Value, jinja::Value>> entries = made.dictionary().entries;
  for (auto& [key, field] : entries)
    if (key.bytes() == "role") field = jinja::Value::Plain(role);
  return jinja::Value::Of(std::move(entries));
}

}  // namespace

bool IsRole(std::string_view role) {
  return std::ranges::find(kKnownRoles, role) != std::end(kKnownRoles);
}

json::object MakeMessage(std::string_view role, std::string_view content) {
  return {{"role", json::string_view(role.data(), role.size())},
          {"content", json::string_view(content.data(), content.size())}};
}

absl::StatusOr<jinja::Variables> ChatValues(const Chat& chat, const ChatShape& shape,
                                            const ControlTokens& tokens) {
  if (chat.messages.empty()) return InvalidArgument("the chat has no messages");
  std::vector<jinja::Value> messages;
  for (size_t i = 0; i < chat.messages.size(); ++i) {
    QF_ASSIGN_OR_RETURN(jinja::Value message, MessageValue(chat.messages[i], shape, i));
    messages.push_back(std::move(message));
  }
  jinja::Variables variables;
  QF_ASSIGN_OR_RETURN(jinja::Value all,
                      jinja::Value::Of(jinja::Sequence::Kind::kList, std::move(messages)));
  variables.emplace_back("messages", std::move(all));
  jinja::Value tools{jinja::None{}};
  if (!chat.tools.empty()) {
    QF_ASSIGN_OR_RETURN(tools, jinja::FromJson(json::value(chat.tools)));
  }
  variables.emplace_back("tools", std::move(tools));
  variables.emplace_back("documents", jinja::Value(jinja::None{}));
  variables.emplace_back("add_generation_prompt", jinja::Value(chat.add_generation_prompt));
  if (!tokens.begin.empty()) variables.emplace_back("bos_token", jinja::Value::Plain(tokens.begin));
  if (!tokens.end.empty()) variables.emplace_back("eos_token", jinja::Value::Plain(tokens.end));
  for (const auto& [key, field] : chat.variables) {
    const std::string_view name = View(key);
    if (std::ranges::find(kReserved, name) != std::end(kReserved))
      return InvalidArgument("chat_template_kwargs cannot set \"{}\"", name);
    QF_ASSIGN_OR_RETURN(jinja::Value value, jinja::FromJson(field));
    variables.emplace_back(name, std::move(value));
  }
  return variables;
}

}  // namespace quantfleet::text
