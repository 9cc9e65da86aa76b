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

}  // namespace

absl::StatusOr<Health> EngineHost::Measure(engine::Engine& engine, const HealthGate& gate) const {
  engine::GenerateRequest request;
  request.prompt = kHealthPrompt;
  request.max_tokens = kHealthTokens;
  request.sampling.temperature = 0;
  QF_ASSIGN_OR_RETURN(const engine::GenerateResult said, engine.Generate(request));
  if (said.tokens.empty() && said.finish_reason != "stop")
    return Internal("the model generated no text");
  Health health;
  if (said.generation_seconds > 0)
    health.tokens_per_second = static_cast<double>(said.tokens.size()) / said.generation_seconds;
  std::vector<engine::Golden> goldens;
  for (const v1::GoldenPrompt& golden : gate.golden)
    goldens.push_back({{golden.prompt().begin(), golden.prompt().end()},
                       {golden.answer().begin(), golden.answer().end()}});
  QF_ASSIGN_OR_RETURN(health.golden_agreement, engine::GoldenAgreement(engine, goldens));
  health.memory_available_bytes = memory_available_();
  return health;
}

absl::StatusOr<EngineHost::Started> EngineHost::Start(const std::string& model,
                                                      const Installed& installed,
                                                      const HealthGate& gate) {
  QF_ASSIGN_OR_RETURN(const std::string file, FindModel(installed.manifest));
  engine::EngineOptions options = options_;
  options.context = static_cast<int64_t>(installed.context);
  if (!installed.kv_type.empty()) {
    QF_ASSIGN_OR_RETURN(options.kv_type, pipeline::DTypeFromName(installed.kv_type));
  }
  QF_ASSIGN_OR_RETURN(std::shared_ptr<engine::Engine> loaded,
                      engine::Engine::Load(installed.files / file, options));
  QF_ASSIGN_OR_RETURN(Health health, Measure(*loaded, gate));
  QF_RETURN_IF_ERROR(gate.Check(health));
  health.note = ChatTemplateOf(*loaded).Warning();
  Started started{std::move(health), loaded};
  server_.SetModel(model, std::move(loaded));
  return started;
}

}  // namespace quantfleet::agent
