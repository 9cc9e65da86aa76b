#include "agent/serve/openai_embeddings.h"

#include <algorithm>
#include <limits>

#include "agent/serve/openai_fields.h"
#include "common/base/bytes.h"
#include "engine/decode/embedding.h"

namespace quantfleet::agent {
namespace {

constexpr size_t kMaxInputs = 2048;  // as OpenAI's

absl::Status NotAnInput() {
  return InvalidArgument(
      "input must be a string, a list of strings, a list of token ids or a list of such lists");
}

absl::StatusOr<engine::EmbedRequest::Input> TextInput(const json::value& value) {
  engine::EmbedRequest::Input input{.text = ToString(value.get_string())};
  if (input.text.empty()) return InvalidArgument("is an empty string: there is nothing to embed");
  return input;
}

absl::StatusOr<engine::EmbedRequest::Input> IdsInput(const json::array& list) {
  if (list.empty()) return InvalidArgument("is an empty list: there is nothing to embed");
  engine::EmbedRequest::Input input;
  for (const json::value& id : list) {
    boost::system::error_code error;
    const auto number = id.is_number() ? id.to_number<int32_t>(error) : 0;
    if (!id.is_number() || error)
      return InvalidArgument("has {} where a token id must be", json::serialize(id).substr(0, 40));
    input.ids.push_back(number);
  }
  return input;
}

absl::StatusOr<engine::EmbedRequest::Input> OneInput(const json::value& value) {
  if (value.is_string()) return TextInput(value);
  if (value.is_array()) return IdsInput(value.get_array());
  return NotAnInput();
}

absl::Status ReadInputs(const json::object& object, engine::EmbedRequest* out) {
  const json::value* value = Find(object, "input");
  if (!value) return InvalidArgument("input is missing");
  const json::array* list = value->if_array();
  const bool several =
      list != nullptr && (list->empty() || list->front().is_string() || list->front().is_array());
  if (!several) {
    auto input = OneInput(*value);
    if (!input.ok())
      return value->is_string() || value->is_array()
                 ? InvalidArgument("input {}", Message(input.status()))
                 : input.status();
    out->inputs.push_back(*std::move(input));
    return absl::OkStatus();
  }
  if (list->empty()) return InvalidArgument("input is an empty list: there is nothing to embed");
  if (list->size() > kMaxInputs)
    return InvalidArgument("input has {} entries; the maximum is {}", list->size(), kMaxInputs);
  for (size_t i = 0; i < list->size(); ++i) {
    const json::value& entry = list->at(i);
    if (entry.kind() != list->front().kind()) return NotAnInput();
    auto input = OneInput(entry);
    if (!input.ok()) return InvalidArgument("input[{}] {}", i, Message(input.status()));
    out->inputs.push_back(*std::move(input));
  }
  return absl::OkStatus();
}

absl::Status ReadEncoding(const json::object& object, bool* base64) {
  std::string format = "float";
  QF_RETURN_IF_ERROR(ReadText(object, "encoding_format", &format));
  if (format != "float" && format != "base64")
    return InvalidArgument("encoding_format must be \"float\" or \"base64\"");
  *base64 = format == "base64";
  return absl::OkStatus();
}

// The alphabet of RFC 4648 section 4, with padding, as Python and JavaScript read it.
std::string Base64(std::span<const float> vector) {
  static_assert(std::endian::native == std::endian::little);
  std::string text = ToBase64Url(std::as_bytes(vector));
  std::ranges::replace(text, '-', '+');
  std::ranges::replace(text, '_', '/');
  text.append((4 - text.size() % 4) % 4, '=');
  return text;
}

// The shortest numbers that are these floats: as doubles they would have twice the digits.
std::string Numbers(std::span<const float> vector) {
  std::string text = "[";
  for (size_t i = 0; i < vector.size(); ++i)
    text += fmt::format("{}{}", i == 0 ? "" : ",", vector[i]);
  return text + "]";
}

}  // namespace

absl::StatusOr<EmbeddingsRequest> ParseEmbeddingsRequest(std::string_view text) {
  QF_ASSIGN_OR_RETURN(const json::object object, ParseBody(text));
  EmbeddingsRequest request;
  QF_RETURN_IF_ERROR(ReadText(object, "model", &request.model));
  QF_RETURN_IF_ERROR(ReadInputs(object, &request.embed));
  QF_RETURN_IF_ERROR(ReadEncoding(object, &request.base64));
  QF_RETURN_IF_ERROR(ReadInteger(object, "dimensions", 1, &request.dimensions));
  return request;
}

absl::Status CheckDimensions(const EmbeddingsRequest& request, const engine::Engine& engine) {
  const pipeline::EmbeddingUse* use = engine.embedding();
  if (use == nullptr || request.dimensions == 0 ||
      use->Allows(request.dimensions, engine.dimensions()))
    return absl::OkStatus();
  std::string allowed = fmt::format("{}", engine.dimensions());
  if (use->any_dimensions) allowed = fmt::format("1 to {}", engine.dimensions());
  for (const int64_t length : use->dimensions)
    if (length != engine.dimensions()) allowed += fmt::format(", {}", length);
  return InvalidArgument("dimensions is {}; this model's embeddings can have: {}",
                         request.dimensions, allowed);
}

std::vector<std::vector<float>> VectorsFor(const EmbeddingsRequest& request,
                                           const engine::GenerateResult& result) {
  std::vector<std::vector<float>> vectors = result.embeddings;
  if (request.dimensions > 0)
    for (std::vector<float>& vector : vectors) engine::CutTo(request.dimensions, vector);
  return vectors;
}

std::string RenderEmbeddings(const EmbeddingsRequest& request, std::string_view model,
                             const engine::GenerateResult& result) {
  std::string data;
  size_t i = 0;
  for (const std::vector<float>& vector : VectorsFor(request, result)) {
    data +=
        fmt::format(R"({}{{"object":"embedding","index":{},"embedding":{}}})", i == 0 ? "" : ",", i,
                    request.base64 ? '"' + Base64(vector) + '"' : Numbers(vector));
    ++i;
  }
  return fmt::format(
      R"({{"object":"list","data":[{}],"model":{},"usage":{{"prompt_tokens":{},"total_tokens":{}}}}})",
      data, json::serialize(json::value(json::string_view(model.data(), model.size()))),
      result.prompt_tokens, result.prompt_tokens);
}

}  // namespace quantfleet::agent
