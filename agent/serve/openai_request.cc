// Requests: strict about what changes the answer.

#include <algorithm>
#include <boost/json.hpp>

#include "agent/serve/openai.h"
#include "agent/serve/openai_fields.h"
#include "text/template/chat_values.h"

namespace quantfleet::agent {
namespace {

constexpr size_t kMaxStops = 16, kMaxStopBytes = 256, kMaxMessages = 1024;
constexpr int64_t kMaxLogprobs = 20;  // as OpenAI's

absl::Status ReadFloat(const json::object& object, const char* name, double least, double most,
                       std::optional<float>* out) {
  const json::value* value = Find(object, name);
  if (!value) return absl::OkStatus();
  boost::system::error_code error;
  const double number = value->is_number() ? value->to_number<double>(error) : -1;
  if (!value->is_number() || error || !(number >= least && number <= most))
    return InvalidArgument("{} must be a number from {} to {}", name, least, most);
  *out = static_cast<float>(number);
  return absl::OkStatus();
}

absl::Status ReadStops(const json::object& object, std::vector<std::string>* out) {
  const json::value* value = Find(object, "stop");
  if (!value) return absl::OkStatus();
  const json::array list = value->is_array() ? value->get_array() : json::array{*value};
  if (list.size() > kMaxStops)
    return InvalidArgument("stop may have at most {} strings", kMaxStops);
  for (const json::value& stop : list) {
    if (!stop.is_string() || stop.get_string().empty() || stop.get_string().size() > kMaxStopBytes)
      return InvalidArgument("stop must be a string or a list of strings, 1 to {} bytes each",
                             kMaxStopBytes);
    out->push_back(ToString(stop.get_string()));
  }
  return absl::OkStatus();
}

// Values that clients send although they change nothing: "", [], {}, and each field's own word for
// that.
bool AsksForNothing(std::string_view name, const json::value& value) {
  if (const auto* list = value.if_array()) return list->empty();
  if (const auto* text = value.if_string())
    return text->empty() || (*text == "none" && (name == "tool_choice" || name == "function_call"));
  const auto* object = value.if_object();
  if (!object) return false;
  if (name == "response_format" && object->size() == 1) {
    const json::value* type = object->if_contains("type");
    return type && *type == json::value("text");
  }
  return object->empty();
}

absl::Status RefuseUnsupported(Endpoint endpoint, const json::object& object) {
  for (const char* name : {"n", "best_of"}) {
    int64_t count = 1;
    QF_RETURN_IF_ERROR(ReadInteger(object, name, 1, &count));
    if (count != 1)
      return InvalidArgument("{} must be 1: this endpoint gives one answer per request", name);
  }
  for (const char* name : {"suffix", "logit_bias", "tools", "tool_choice", "functions",
                           "function_call", "response_format"}) {
    if (endpoint == Endpoint::kChatCompletions && std::string_view(name).starts_with("tool"))
      continue;
    const json::value* value = Find(object, name);
    if (value && !AsksForNothing(name, *value))
      return InvalidArgument("{} is not supported here", name);
  }
  bool echo = false;
  QF_RETURN_IF_ERROR(ReadBool(object, "echo", &echo));
  return echo ? InvalidArgument("echo is not supported here") : absl::OkStatus();
}

// Completions have a number, chats a switch and a number.
absl::Status ReadLogprobs(Endpoint endpoint, const json::object& object, int* out) {
  const bool chat = endpoint == Endpoint::kChatCompletions;
  const char* const name = chat ? "top_logprobs" : "logprobs";
  bool on = !chat && Find(object, name) != nullptr;
  if (chat) QF_RETURN_IF_ERROR(ReadBool(object, "logprobs", &on));
  int64_t top = 0;
  QF_RETURN_IF_ERROR(ReadInteger(object, name, 0, &top));
  if (top > kMaxLogprobs) return InvalidArgument("{} must be at most {}", name, kMaxLogprobs);
  if (!on && top > 0) return InvalidArgument("top_logprobs needs \"logprobs\": true");
  if (on) *out = static_cast<int>(top);
  return absl::OkStatus();
}

absl::Status ReadPrompt(const json::object& object, std::string* out) {
  const json::value* value = Find(object, "prompt");
  if (value && value->is_array() && value->get_array().size() == 1)
    value = &value->get_array().front();
  if (!value || !value->is_string())
    return InvalidArgument("prompt is missing or is not a single string");
  *out = ToString(value->get_string());
  return absl::OkStatus();
}

absl::Status ReadMessages(const json::object& object, text::Chat* out) {
  const json::value* value = Find(object, "messages");
  if (!value || !value->is_array() || value->get_array().empty())
    return InvalidArgument("messages is missing, empty or not a list");
  if (value->get_array().size() > kMaxMessages)
    return InvalidArgument("messages has more than {} entries", kMaxMessages);
  out->messages = value->get_array();
  return absl::OkStatus();
}

// The model is told of them; what it answers is text, calls and all.
absl::Status ReadTools(const json::object& object, text::Chat* out) {
  const json::value* choice = Find(object, "tool_choice");
  const bool none = choice && *choice == json::value("none");
  if (choice && !none && *choice != json::value("auto") && !AsksForNothing("tool_choice", *choice))
    return InvalidArgument("tool_choice must be \"auto\" or \"none\"");
  const json::value* tools = Find(object, "tools");
  if (!tools || AsksForNothing("tools", *tools)) return absl::OkStatus();
  if (!tools->is_array() || !std::ranges::all_of(tools->get_array(), [](const json::value& tool) {
        return tool.is_object();
      }))
    return InvalidArgument("tools must be a list of objects");
  if (!none) out->tools = tools->get_array();
  return absl::OkStatus();
}

absl::Status ReadChat(const json::object& object, text::Chat* out) {
  QF_RETURN_IF_ERROR(ReadMessages(object, out));
  QF_RETURN_IF_ERROR(ReadTools(object, out));
  std::string effort;
  QF_RETURN_IF_ERROR(ReadText(object, "reasoning_effort", &effort));
  if (!effort.empty()) out->variables["reasoning_effort"] = json::string(effort);
  if (const json::value* more = Find(object, "chat_template_kwargs")) {
    if (!more->is_object()) return InvalidArgument("chat_template_kwargs must be an object");
    for (const auto& [key, field] : more->get_object()) out->variables[key] = field;
  }
  // What a template gets of it shows whether all of it is as it must be.
  return text::ChatValues(*out, {}, {}).status();
}

absl::Status ReadSampling(const json::object& object, CompletionRequest* request) {
  QF_RETURN_IF_ERROR(ReadFloat(object, "temperature", 0, 2, &request->temperature));
  QF_RETURN_IF_ERROR(ReadFloat(object, "top_p", 0, 1, &request->top_p));
  int64_t top_k = 0, seed = 0;
  QF_RETURN_IF_ERROR(ReadInteger(object, "top_k", 0, &top_k));
  if (Find(object, "top_k")) request->top_k = static_cast<int>(std::min<int64_t>(top_k, 1 << 30));
  QF_RETURN_IF_ERROR(ReadInteger(object, "seed", std::numeric_limits<int64_t>::min(), &seed));
  if (Find(object, "seed")) request->seed = static_cast<uint64_t>(seed);
  return absl::OkStatus();
}

}  // namespace

std::string ModelIn(std::string_view text) {
  boost::system::error_code error;
  const json::value parsed = json::parse({text.data(), text.size()}, error);
  std::string model;
  if (const json::object* object = parsed.if_object(); !error && object)
    ReadText(*object, "model", &model).IgnoreError();
  return model;
}

absl::StatusOr<CompletionRequest> ParseCompletionRequest(Endpoint endpoint, std::string_view text) {
  QF_ASSIGN_OR_RETURN(const json::object object, ParseBody(text));
  CompletionRequest request;
  QF_RETURN_IF_ERROR(RefuseUnsupported(endpoint, object));
  QF_RETURN_IF_ERROR(ReadText(object, "model", &request.model));
  QF_RETURN_IF_ERROR(endpoint == Endpoint::kCompletions ? ReadPrompt(object, &request.prompt)
                                                        : ReadChat(object, &request.chat));
  QF_RETURN_IF_ERROR(ReadInteger(object, "max_tokens", 1, &request.max_tokens));
  QF_RETURN_IF_ERROR(ReadInteger(object, "max_completion_tokens", 1, &request.max_tokens));
  QF_RETURN_IF_ERROR(ReadSampling(object, &request));
  QF_RETURN_IF_ERROR(ReadStops(object, &request.stop));
  QF_RETURN_IF_ERROR(ReadLogprobs(endpoint, object, &request.top_logprobs));
  QF_RETURN_IF_ERROR(ReadBool(object, "stream", &request.stream));
  if (const json::value* stream_options = Find(object, "stream_options")) {
    if (!stream_options->is_object()) return InvalidArgument("stream_options must be an object");
    QF_RETURN_IF_ERROR(
        ReadBool(stream_options->get_object(), "include_usage", &request.include_usage));
  }
  return request;
}

}  // namespace quantfleet::agent
