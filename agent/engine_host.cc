#include "agent/engine_host.h"

namespace quantfleet::agent {
namespace {

// A few words are enough to see that weights, tokenizer and memory hold, and little enough for a slow board.
constexpr std::string_view kHealthPrompt = "Once upon a time";
constexpr int64_t kHealthTokens = 16;

absl::StatusOr<std::string> FindGguf(const v1::Manifest& manifest) {
  if (manifest.target().format() != "gguf")
    return Unimplemented("this agent runs gguf artifacts, not {}", manifest.target().format());
  for (const v1::ArtifactFile& file : manifest.files())
    if (file.path().ends_with(".gguf")) return file.path();
  return DataLoss("the artifact holds no .gguf file");
}

}  // namespace

absl::StatusOr<ModelHost::Health> EngineHost::Start(const std::string& model, const fs::path& files,
                                                    const v1::Manifest& manifest) {
  QF_ASSIGN_OR_RETURN(const std::string gguf, FindGguf(manifest));
  QF_ASSIGN_OR_RETURN(auto loaded, Engine::Load(files / gguf, options_));
  GenerateRequest request;
  request.prompt = kHealthPrompt;
  request.max_tokens = kHealthTokens;
  request.sampling.temperature = 0;
  QF_ASSIGN_OR_RETURN(const GenerateResult said, loaded->Generate(request));
  if (said.tokens.empty() && said.finish_reason != "stop") return Internal("the model says nothing");
  Health health;
  if (said.generation_seconds > 0)
    health.tokens_per_second = static_cast<double>(said.tokens.size()) / said.generation_seconds;
  server_.SetModel(model, std::move(loaded));
  return health;
}

}  // namespace quantfleet::agent
