#include "agent/embed_command.h"

#include <CLI/CLI.hpp>
#include <memory>

#include "agent/engine_options.h"
#include "agent/serve/openai_embeddings.h"
#include "common/base/file.h"
#include "engine/decode/engine.h"

namespace quantfleet::agent {
namespace {

struct EmbedOptions {
  fs::path model;
  std::vector<std::string> texts;
  fs::path file;
  EmbeddingsRequest request;
  engine::EngineOptions engine;
  bool as_json = false;
};

absl::Status Embed(EmbedOptions options) {
  if (!options.file.empty()) {
    QF_ASSIGN_OR_RETURN(std::string text, RealFileSystem().ReadAll(options.file));
    options.texts.push_back(std::move(text));
  }
  for (std::string& text : options.texts)
    options.request.embed.inputs.push_back({.text = std::move(text)});
  QF_ASSIGN_OR_RETURN(const auto engine, engine::Engine::Load(options.model, options.engine));
  QF_RETURN_IF_ERROR(CheckDimensions(options.request, *engine));
  QF_ASSIGN_OR_RETURN(const engine::GenerateResult result, engine->Embed(options.request.embed));
  if (options.as_json) {
    fmt::print("{}\n", RenderEmbeddings(options.request, engine->model_name(), result));
    return absl::OkStatus();
  }
  for (const std::vector<float>& vector : VectorsFor(options.request, result))
    fmt::print("{}\n", fmt::join(vector, " "));
  return absl::OkStatus();
}

}  // namespace

void AddEmbedCommand(CLI::App& app, Action& action) {
  const auto options = std::make_shared<EmbedOptions>();
  CLI::App* command = app.add_subcommand("embed", "Turn texts into vectors of length 1");
  command->add_option("model", options->model, "MODEL.gguf, an embedding model")->required();
  CLI::Option_group* group = command->add_option_group("text", "Source of the texts");
  group->add_option("--text", options->texts, "A text; may be given more than once")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  group->add_option("--text-file", options->file, "A file with a text");
  group->require_option(1);
  command
      ->add_option("--dimensions", options->request.dimensions,
                   "Cut the vectors to N elements, if the model was trained for that")
      ->check(CLI::PositiveNumber);
  AddEngineOptions(*command, options->engine);
  command->add_flag("--json", options->as_json,
                    "Print one JSON object, as POST /v1/embeddings answers");
  command->callback([options, &action] { action = [options] { return Embed(*options); }; });
}

}  // namespace quantfleet::agent
