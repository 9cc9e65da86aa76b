// The JSON of OpenAI's embeddings: requests in, answers out. Pure; no HTTP, no engine runs here.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/status.h"
#include "engine/decode/engine.h"

namespace quantfleet::agent {

struct EmbeddingsRequest {
  std::string model = {};  // empty: not given
  engine::EmbedRequest embed = {};
  bool base64 = false;     // of F32, little-endian; otherwise numbers
  int64_t dimensions = 0;  // 0: not given
};

// INVALID_ARGUMENT names the field, and of a list the entry.
absl::StatusOr<EmbeddingsRequest> ParseEmbeddingsRequest(std::string_view json);

// INVALID_ARGUMENT where the model's vectors cannot be cut to what is asked for.
absl::Status CheckDimensions(const EmbeddingsRequest& request, const engine::Engine& engine);

// The vectors as they were asked for.
std::vector<std::vector<float>> VectorsFor(const EmbeddingsRequest& request,
                                           const engine::GenerateResult& result);

// `model`: the name that answers.
std::string RenderEmbeddings(const EmbeddingsRequest& request, std::string_view model,
                             const engine::GenerateResult& result);

}  // namespace quantfleet::agent
