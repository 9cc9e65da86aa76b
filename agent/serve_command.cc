#include "agent/serve_command.h"

#include <CLI/CLI.hpp>
#include <condition_variable>
#include <cstdio>
#include <mutex>

#include "agent/engine_options.h"
#include "agent/run_until_signal.h"
#include "agent/serve/completion_server.h"
#include "agent/serve/listen_address.h"
#include "agent/serve/model_table.h"
#include "common/base/outside_text.h"

namespace quantfleet::agent {
namespace {

struct ServeOptions {
  fs::path model;
  std::string name;
  engine::EngineOptions engine;
  CompletionServer::Options server;
  int64_t drain_seconds = 10;
};

// The file's own name, or its folder's where artifacts are called model.gguf.
std::string NameOf(const fs::path& model) {
  const fs::path whole = fs::absolute(model);
  const std::string stem = whole.stem().string();
  return stem == "model" && whole.has_parent_path() ? whole.parent_path().filename().string()
                                                    : stem;
}

absl::Status Serve(ServeOptions options, std::stop_token stop) {
  const RealClock clock;
  SecureRandom random;
  options.server.most_drain = std::chrono::seconds(options.drain_seconds);
  QF_ASSIGN_OR_RETURN(auto engine, engine::Engine::Load(options.model, options.engine));
  QF_ASSIGN_OR_RETURN(const auto server, CompletionServer::Start(options.server, clock, random));
  const std::string name = options.name.empty() ? NameOf(options.model) : options.name;
  const std::string warning = engine->embedding() != nullptr
                                  ? ""
                                  : ChatTemplateOf(*engine, options.server.plain_chat).Warning();
  if (!warning.empty()) fmt::print(stderr, "quantfleet-agent: warning: {}\n", Shown(warning));
  server->SetModel(name, std::move(engine));
  fmt::print("{} answers on {}\n", name, EndpointUrl(server->endpoint()));
  std::fflush(stdout);
  std::mutex mutex;
  std::unique_lock lock(mutex);
  std::condition_variable_any wake;
  wake.wait(lock, stop, [] { return false; });
  return absl::OkStatus();
}

}  // namespace

void AddServeCommand(CLI::App& app, Action& action, const std::string& version) {
  const auto options = std::make_shared<ServeOptions>();
  options->server.listen = "127.0.0.1:8080";
  options->server.version = version;
  CLI::App* command = app.add_subcommand("serve", "Serve OpenAI's API with a model file");
  command->add_option("model", options->model, "MODEL.gguf")->required();
  command->add_option("--name", options->name, "Name of the model for clients [the file's name]");
  command
      ->add_option("--listen", options->server.listen,
                   "Loopback HOST:PORT (port 0: any free port) or unix:PATH")
      ->capture_default_str();
  command->add_flag("--plain-chat", options->server.plain_chat,
                    "Answer chats of a model that has no chat template: the contents of the "
                    "messages are joined as they are");
  AddEngineOptions(*command, options->engine);
  command
      ->add_option("--parallel", options->server.queue.most_running,
                   "Maximum number of concurrent answers; together they hold one context of tokens")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  command
      ->add_option("--queue", options->server.queue.most_waiting,
                   "Maximum number of waiting requests")
      ->check(CLI::Range(1, 10000))
      ->capture_default_str();
  command
      ->add_option("--drain", options->drain_seconds,
                   "Seconds for answers in progress to finish at shutdown")
      ->check(CLI::Range(0, 3600))
      ->capture_default_str();
  command->callback([options, &action] {
    action = [options] {
      return RunUntilSignal([options](std::stop_token stop) { return Serve(*options, stop); });
    };
  });
}

}  // namespace quantfleet::agent
