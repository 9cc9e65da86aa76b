// The JSON of OpenAI's completions and chat completions: requests in, answers out. Pure; no HTTP,
// no engine runs here.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/status.h"
#include "engine/decode/engine.h"
#include "text/template/conversation.h"

namespace quantfleet::agent {

enum class Endpoint { kCompletions, kChatCompletions };

struct CompletionRequest {
  std::string model;   // empty: not given
  std::string prompt;  // of kCompletions
  text::Chat chat;     // of kChatCompletions
  int64_t max_tokens = 128;
  std::optional<float> temperature, top_p;  // if not given, the model's own apply
  std::optional<int> top_k;
  std::optional<uint64_t> seed;
  std::vector<std::string> stop;
  bool stream = false;
  bool include_usage = false;  // stream_options.include_usage
  int top_logprobs = -1;       // -1: no probabilities
};

// INVALID_ARGUMENT names the field, or the byte that is no UTF-8. Fields that would change the
// answer and are not supported are refused, all other unknown ones are ignored, as clients send
// many.
absl::StatusOr<CompletionRequest> ParseCompletionRequest(Endpoint endpoint, std::string_view json);

// What a body says under "model", whatever else it says; empty where it says nothing, or is no
// JSON.
std::string ModelIn(std::string_view json);

// What all parts of one answer share.
struct AnswerHead {
  Endpoint endpoint;
  std::string id, model;
  int64_t created = 0;    // Unix seconds
  bool logprobs = false;  // were asked for
};

std::string RenderAnswer(const AnswerHead& head, const engine::GenerateResult& result);
// Pieces of a stream, as JSON (without "data: "). The first chat piece names the role.
std::string RenderPiece(const AnswerHead& head, std::string_view text,
                        std::span<const engine::TokenProbability> tokens, bool first);
std::string RenderLastPiece(const AnswerHead& head, std::string_view finish_reason);
std::string RenderUsagePiece(const AnswerHead& head, const engine::GenerateResult& result);

struct ApiError {
  int http = 500;
  std::string type, code, message;
};
// The error that a status is to a client of this API.
ApiError ToApiError(const absl::Status& status);
std::string RenderError(const ApiError& error);

struct ServedModel {
  std::string name;
  int64_t created = 0;               // when it was taken into service, Unix seconds
  std::string_view capability = {};  // "completion", "embedding"; empty: another server knows
  int64_t dimensions = 0;            // of its embeddings; 0: it makes none
};
std::string RenderModel(const ServedModel& model);
std::string RenderModels(std::span<const ServedModel> models);
std::string RenderHealth(const std::vector<std::string>& names);

}  // namespace quantfleet::agent
