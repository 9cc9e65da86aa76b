// Answers, streams and errors.

#include <algorithm>
#include <boost/json.hpp>

#include "agent/serve/openai.h"
#include "text/tokenizer/text_stream.h"

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

json::object Usage(const engine::GenerateResult& result) {
  const auto tokens = static_cast<int64_t>(result.tokens.size());
  return {{"prompt_tokens", result.prompt_tokens},
          {"completion_tokens", tokens},
          {"total_tokens", result.prompt_tokens + tokens}};
}

// A token may be only a part of a character; then its text is a replacement, and its bytes say what
// it is.
json::string TokenText(std::string bytes) {
  std::string text = text::TakeWholeUtf8(bytes);
  if (!bytes.empty()) text += "\xef\xbf\xbd";
  return json::string(text.data(), text.size());
}

// JSON has no infinity; OpenAI's own word for "never".
double Logprob(double value) { return std::max(value, -9999.0); }

json::object TokenObject(const std::string& bytes, double logprob) {
  json::array numbers;
  for (const char c : bytes) numbers.push_back(static_cast<uint8_t>(c));
  return {
      {"token", TokenText(bytes)}, {"logprob", Logprob(logprob)}, {"bytes", std::move(numbers)}};
}

json::value ChatLogprobs(std::span<const engine::TokenProbability> tokens) {
  json::array content;
  for (const engine::TokenProbability& token : tokens) {
    json::object object = TokenObject(token.bytes, token.logprob);
    json::array top;
    for (const auto& [bytes, logprob] : token.top) top.push_back(TokenObject(bytes, logprob));
    object["top_logprobs"] = std::move(top);
    content.push_back(std::move(object));
  }
  return json::object{{"content", std::move(content)}, {"refusal", nullptr}};
}

json::value TextLogprobs(std::span<const engine::TokenProbability> tokens) {
  json::array texts, logprobs, tops, offsets;
  for (const engine::TokenProbability& token : tokens) {
    texts.push_back(TokenText(token.bytes));
    logprobs.push_back(Logprob(token.logprob));
    json::object top;
    for (const auto& [bytes, logprob] : token.top) top.emplace(TokenText(bytes), Logprob(logprob));
    tops.push_back(std::move(top));
    offsets.push_back(token.offset);
  }
  return json::object{{"tokens", std::move(texts)},
                      {"token_logprobs", std::move(logprobs)},
                      {"top_logprobs", std::move(tops)},
                      {"text_offset", std::move(offsets)}};
}

json::value Logprobs(const AnswerHead& head, std::span<const engine::TokenProbability> tokens) {
  if (!head.logprobs) return nullptr;
  return head.endpoint == Endpoint::kChatCompletions ? ChatLogprobs(tokens) : TextLogprobs(tokens);
}

std::string RenderDelta(const AnswerHead& head, json::object delta, std::string_view text,
                        json::value logprobs, std::string_view finish) {
  json::object choice{
      {"index", 0}, {"logprobs", std::move(logprobs)}, {"finish_reason", FinishReason(finish)}};
  if (head.endpoint == Endpoint::kChatCompletions) {
    choice["delta"] = std::move(delta);
  } else {
    choice["text"] = View(text);
  }
  json::object piece = Head(head, true);
  piece["choices"] = json::array{std::move(choice)};
  return json::serialize(piece);
}

json::object ModelObject(const ServedModel& model) {
  json::object object{{"id", View(model.name)},
                      {"object", "model"},
                      {"created", model.created},
                      {"owned_by", "quantfleet"}};
  // Beyond OpenAI's API, as llama.cpp's server has it.
  if (!model.capability.empty()) object["capabilities"] = json::array{View(model.capability)};
  if (model.dimensions > 0) object["dimensions"] = model.dimensions;
  return object;
}

}  // namespace

std::string RenderAnswer(const AnswerHead& head, const engine::GenerateResult& result) {
  json::object choice{{"index", 0},
                      {"logprobs", Logprobs(head, result.probabilities)},
                      {"finish_reason", FinishReason(result.finish_reason)}};
  if (head.endpoint == Endpoint::kChatCompletions) {
    choice["message"] =
        json::object{{"role", "assistant"}, {"content", View(result.text)}, {"refusal", nullptr}};
  } else {
    choice["text"] = View(result.text);
  }
  json::object answer = Head(head, false);
  answer["choices"] = json::array{std::move(choice)};
  answer["usage"] = Usage(result);
  return json::serialize(answer);
}

std::string RenderPiece(const AnswerHead& head, std::string_view text,
                        std::span<const engine::TokenProbability> tokens, bool first) {
  json::object delta{{"content", View(text)}};
  if (first) delta["role"] = "assistant";
  return RenderDelta(head, std::move(delta), text, Logprobs(head, tokens), "");
}

std::string RenderLastPiece(const AnswerHead& head, std::string_view finish_reason) {
  return RenderDelta(head, {}, "", nullptr, finish_reason);
}

std::string RenderUsagePiece(const AnswerHead& head, const engine::GenerateResult& result) {
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
    case absl::StatusCode::kNotFound:
      return {404, "invalid_request_error", "model_not_found", message};
    case absl::StatusCode::kResourceExhausted:
      return {429, "rate_limit_error", "queue_full", message};
    case absl::StatusCode::kUnavailable:
      return {503, "server_error", "unavailable", message};
    default:
      return {500, "server_error", "internal", message};
  }
}

std::string RenderError(const ApiError& error) {
  return json::serialize(json::object{{"error", json::object{{"message", View(error.message)},
                                                             {"type", View(error.type)},
                                                             {"param", nullptr},
                                                             {"code", View(error.code)}}}});
}

std::string RenderModel(const ServedModel& model) { return json::serialize(ModelObject(model)); }

std::string RenderModels(std::span<const ServedModel> models) {
  json::array list;
  for (const ServedModel& model : models) list.push_back(ModelObject(model));
  return json::serialize(json::object{{"object", "list"}, {"data", std::move(list)}});
}

std::string RenderHealth(const std::vector<std::string>& names) {
  json::array list;
  for (const std::string& name : names) list.push_back(View(name));
  return json::serialize(
      json::object{{"status", names.empty() ? "no model" : "ok"}, {"models", std::move(list)}});
}

}  // namespace quantfleet::agent
