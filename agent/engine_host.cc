#include "agent/engine_host.h"

#include "agent/serve/model_table.h"
#include "engine/measure/golden.h"
#include "pipeline/artifact/entry_file.h"

namespace quantfleet::agent {
namespace {

absl::StatusOr<std::string> FindModel(const v1::Manifest& manifest) {
  if (manifest.target().format() != pipeline::kEngineFormat)
    return Unimplemented(
        "this agent's engine runs only {} artifacts: for {} the class must name a [runtime]",
        pipeline::kEngineFormat, manifest.target().format());
  std::string file = pipeline::EntryFile(manifest);
  if (file.empty()) return DataLoss("the artifact contains no .gguf file");
  return file;
}

// What the engine says of an artifact.
Verdict OfEngine(const absl::Status& status) {
  if (status.ok()) return {};
  return {absl::IsResourceExhausted(status) ? Reason::kOutOfMemory : Reason::kHealthFailed,
          Describe(status)};
}

}  // namespace

namespace {

// Tokens that it generates in a second.
Tried<double> SpeedOfWords(engine::Engine& engine) {
  engine::GenerateRequest request;
  request.prompt = kHealthPrompt;
  request.max_tokens = kHealthTokens;
  request.sampling.temperature = 0;
  const absl::StatusOr<engine::GenerateResult> said = engine.Generate(request);
  if (!said.ok()) return OfEngine(said.status());
  if (said->tokens.empty() && said->finish_reason != "stop")
    return Setback(Reason::kHealthFailed, "the model generated no text");
  return said->generation_seconds > 0
             ? static_cast<double>(said->tokens.size()) / said->generation_seconds
             : 0;
}

// Tokens that it reads in a second.
Tried<double> SpeedOfEmbedding(engine::Engine& engine) {
  const absl::StatusOr<engine::GenerateResult> made =
      engine.Embed({{{.text = std::string(kHealthPrompt)}}});
  if (!made.ok()) return OfEngine(made.status());
  return made->prompt_seconds > 0 ? static_cast<double>(made->prompt_tokens) / made->prompt_seconds
                                  : 0;
}

}  // namespace

Tried<Health> EngineHost::Measure(engine::Engine& engine, const HealthGate& gate) const {
  Health health;
  QF_TRY(health.tokens_per_second,
         engine.embedding() != nullptr ? SpeedOfEmbedding(engine) : SpeedOfWords(engine));
  std::vector<engine::Golden> goldens;
  for (const v1::GoldenPrompt& golden : gate.golden)
    goldens.push_back({{golden.prompt().begin(), golden.prompt().end()},
                       {golden.answer().begin(), golden.answer().end()},
                       {golden.vector().begin(), golden.vector().end()}});
  const absl::StatusOr<double> agreement = engine::GoldenAgreement(engine, goldens);
  if (!agreement.ok()) return OfEngine(agreement.status());
  health.golden_agreement = *agreement;
  health.memory_available_bytes = memory_available_();
  return health;
}

Tried<EngineHost::Started> EngineHost::Start(const std::string& model, const Installed& installed,
                                             const HealthGate& gate) {
  const absl::StatusOr<std::string> file = FindModel(installed.manifest);
  if (!file.ok()) return OfEngine(file.status());
  engine::EngineOptions options = options_;
  options.context = static_cast<int64_t>(installed.context);
  if (!installed.kv_type.empty()) {
    const absl::StatusOr<pipeline::DType> type = pipeline::DTypeFromName(installed.kv_type);
    if (!type.ok()) return OfEngine(type.status());
    options.kv_type = *type;
  }
  auto engine = engine::Engine::Load(installed.files / *file, options);
  if (!engine.ok()) return OfEngine(engine.status());
  std::shared_ptr<engine::Engine> loaded = *std::move(engine);
  QF_TRY(Health health, Measure(*loaded, gate));
  QF_RETURN_IF_SETBACK(gate.Check(health));
  if (loaded->embedding() == nullptr)
    health.note = ChatTemplateOf(*loaded, server_.plain_chat()).Warning();
  Started started{std::move(health), loaded};
  server_.SetModel(model, std::move(loaded));
  return started;
}

}  // namespace quantfleet::agent
