// Answers, streams and errors.

#include <boost/json.hpp>

#include "agent/serve/openai.h"

namespace quantfleet::agent {
namespace {

namespace json = boost::json;

json::string_view View(std::string_view text) { return {text.data(), text.size()}; }

json::object Head(const AnswerHead& head, bool stream) {
  const bool chat = head.endpoint == Endpoint::kChatCompletions;
  return {{"id", View(head.id)},
          {"object", !chat    ? "text_completion"
                     : stream ? "chat.completion.chunk"
                              : "chat.completion"},
          {"created", head.created},
          {"model", View(head.model)}};
}

json::value FinishReason(std::string_view reason) {
  if (reason.empty()) return nullptr;
  return json::value(View(reason));
}

json::object Usage(const GenerateResult& result) {
  const auto tokens = static_cast<int64_t>(result.tokens.size());
  return {{"prompt_tokens", result.prompt_tokens},
          {"completion_tokens", tokens},
          {"total_tokens", result.prompt_tokens + tokens}};
}

std::string RenderDelta(const AnswerHead& head, json::object delta, std::string_view text,
                        std::string_view finish) {
  json::object choice{{"index", 0}, {"finish_reason", FinishReason(finish)}};
  if (head.endpoint == Endpoint::kChatCompletions) {
    choice["delta"] = std::move(delta);
  } else {
    choice["text"] = View(text);
  }
  json::object piece = Head(head, true);
  piece["choices"] = json::array{std::move(choice)};
  return json::serialize(piece);
}

}  // namespace

std::string RenderAnswer(const AnswerHead& head, const GenerateResult& result) {
  json::object choice{{"index", 0}, {"finish_reason", FinishReason(result.finish_reason)}};
  if (head.endpoint == Endpoint::kChatCompletions) {
    choice["message"] = json::object{{"role", "assistant"}, {"content", View(result.text)}};
  } else {
    choice["text"] = View(result.text);
    choice["logprobs"] = nullptr;
  }
  json::object answer = Head(head, false);
  answer["choices"] = json::array{std::move(choice)};
  answer["usage"] = Usage(result);
  return json::serialize(answer);
}

std::string RenderPiece(const AnswerHead& head, std::string_view text, bool first) {
  json::object delta{{"content", View(text)}};
  if (first) delta["role"] = "assistant";
  return RenderDelta(head, std::move(delta), text, "");
}

std::string RenderLastPiece(const AnswerHead& head, std::string_view finish_reason) {
  return RenderDelta(head, {}, "", finish_reason);
}

std::string RenderUsagePiece(const AnswerHead& head, const GenerateResult& result) {
  json::object piece = Head(head, true);
  piece["choices"] = json::array{};
  piece["usage"] = Usage(result);
  return json::serialize(piece);
}

ApiError ToApiError(const absl::Status& status) {
  const std::string message = Message(status);
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
      return {400, "invalid_request_error", "invalid_request", message};
    case absl::StatusCode::kOutOfRange:
      return {400, "invalid_request_error", "context_length_exceeded", message};
    case absl::StatusCode::kNotFound: return {404, "invalid_request_error", "model_not_found", message};
    case absl::StatusCode::kResourceExhausted: return {429, "rate_limit_error", "queue_full", message};
    case absl::StatusCode::kUnavailable: return {503, "server_error", "unavailable", message};
    default: return {500, "server_error", "internal", message};
  }
}

std::string RenderError(const ApiError& error) {
  return json::serialize(json::object{{"error", json::object{{"message", View(error.message)},
                                                             {"type", View(error.type)},
                                                             {"param", nullptr},
                                                             {"code", View(error.code)}}}});
}

std::string RenderModels(const std::vector<std::string>& names, int64_t created) {
  json::array list;
  for (const std::string& name : names)
    list.push_back(json::object{
        {"id", View(name)}, {"object", "model"}, {"created", created}, {"owned_by", "quantfleet"}});
  return json::serialize(json::object{{"object", "list"}, {"data", std::move(list)}});
}

std::string RenderHealth(const std::vector<std::string>& names) {
  json::array list;
  for (const std::string& name : names) list.push_back(View(name));
  return json::serialize(
      json::object{{"status", names.empty() ? "no model" : "ok"}, {"models", std::move(list)}});
}

}  // namespace quantfleet::agent
