// What sentence-transformers' files and clients' requests for embeddings say: refused with a
// reason, or within their bounds.
#include <cstdlib>

#include "agent/serve/openai_embeddings.h"
#include "pipeline/format/safetensors/hf_pooling.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace quantfleet;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  pipeline::PoolingFolder(text, "modules.json").status().IgnoreError();
  pipeline::ParseHfPooling(text, 8, "config.json").status().IgnoreError();
  const auto request = agent::ParseEmbeddingsRequest(text);
  if (!request.ok()) return 0;
  if (request->embed.inputs.empty() || request->embed.inputs.size() > 2048) std::abort();
  for (const engine::EmbedRequest::Input& input : request->embed.inputs)
    if (input.text.empty() == input.ids.empty()) std::abort();
  if (request->dimensions < 0) std::abort();
  return 0;
}
