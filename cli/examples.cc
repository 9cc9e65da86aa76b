#include "cli/examples.h"

#include <fmt/core.h>

#include <algorithm>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "CLI/CLI.hpp"

namespace quantfleet::cli {
namespace {

struct Example {
  std::string_view command;  // "job submit"
  std::string_view line;     // behind it
};

// In the order in which --help shows those of one command.
constexpr Example kExamples[] = {
    {"quantize", "phi-3-mini --target gguf:q4_k_m --out artifacts"},
    {"quantize",
     "phi-3-mini --target gguf:q4_0 --target onnx:int4 --target mlx:int4 --out artifacts"},
    {"quantize", "phi-3-mini --target gguf:q4_k_m --dry-run --device-memory 4096"},
    {"quantize",
     "phi-3-mini --calibration calibration --rounding feedback --target gguf:iq4_nl --out "
     "artifacts"},
    {"calibrate", "phi-3-mini --second-moments --out calibration"},
    {"calibrate", "phi-3-mini --text talks.txt --out calibration"},
    {"fit", "phi-3-mini --calibration calibration --target gguf --bytes 2GB --out small.toml"},
    {"fit",
     "phi-3-mini --calibration calibration --target gguf --device-memory 3072 --context 2048 --out "
     "small.toml"},
    {"inspect", "phi-3-mini"},
    {"inspect", "artifacts/gguf-q4_k_m"},
    {"compare", "model-f16.gguf artifacts/gguf-q4_0"},
    {"compare", "artifacts/gguf-q4_0 artifacts/onnx-int4 --reference phi-3-mini --text mine.txt"},
    {"model push", "phi-3-mini ./Phi-3-mini-4k-instruct"},
    {"model push", "support ./Phi-3-mini-4k-instruct --lora ./adapter:0.5"},
    {"model import", "phi-3-mini /srv/models/Phi-3-mini-4k-instruct"},
    {"model list", ""},
    {"model show", "phi-3-mini"},
    {"job submit", "phi-3-mini --class iot-int4 --class ai-pc-int8 --watch"},
    {"job submit", "phi-3-mini --class iot-int4 --calibration talks.txt"},
    {"job watch", "jobs/4f2a09"},
    {"job list", ""},
    {"job show", "jobs/4f2a09 --json"},
    {"job cancel", "jobs/4f2a09"},
    {"artifact list", "--model phi-3-mini"},
    {"artifact show", "3f1c02aa"},
    {"artifact delete", "3f1c02aa 77e0d1b2"},
    {"artifact collect", "--dry-run"},
    {"artifact scrub", "--watch"},
    {"artifact repair", "3f1c02aa --watch"},
    {"agent publish", "x86_64/quantfleet-agent aarch64/quantfleet-agent"},
    {"agent list", ""},
    {"class list", ""},
    {"class show", "iot-int4"},
    {"class apply", "kiosk.toml"},
    {"token create", "--uses 50 --ttl 7d --label site=lab --class iot-int4"},
    {"token create", "--uses 0 --approval --rate 100"},
    {"token list", ""},
    {"token revoke", "9d41c0aa"},
    {"device list", ""},
    {"device show", "rack-7-board-12"},
    {"device label", "rack-7-board-12 ring=early site=lab --remove trial"},
    {"device step-up", "rack-7-board-12 --model phi-3-mini"},
    {"device revoke", "rack-7-board-12"},
    {"device allow", "--file boards.txt --label site=lab"},
    {"device allowed", ""},
    {"device disallow", "rack-7-board-12"},
    {"device pending", ""},
    {"device approve", "rack-7-board-12"},
    {"device reject", "rack-7-board-12"},
    {"status", ""},
    {"group apply", "canaries --selector ring=early"},
    {"group list", ""},
    {"group show", "canaries"},
    {"group delete", "canaries"},
    {"rollout create", "phi-3-mini --phase group:canaries --soak 1h --phase 10% --soak 1d --watch"},
    {"rollout create", "phi-3-mini --max-failures 3 --on-failure rollback --dry-run"},
    {"rollout create", "phi-3-mini --plan night.toml --draft"},
    {"rollout status", "rollouts/81c5e0"},
    {"rollout watch", "rollouts/81c5e0"},
    {"rollout pause", "rollouts/81c5e0 --reason \"fan noise on site 3\""},
    {"rollout resume", "rollouts/81c5e0"},
    {"rollout approve", "rollouts/81c5e0 --phase 2"},
    {"rollout allow-download", "rollouts/81c5e0 --device rack-7-board-12"},
    {"rollout abort", "rollouts/81c5e0"},
    {"rollout rollback", "rollouts/81c5e0 --reason \"wrong licence text\""},
    {"rollout list", ""},
    {"operator create", "mia --role publisher --ttl 90d"},
    {"operator create", "build-server --role publisher --csr request.pem"},
    {"operator list", ""},
    {"operator show", "mia"},
    {"operator revoke", "mia --reason \"left the team\""},
    {"operator rotate", "mia"},
    {"login", "fleet.example:7443 --code qfl1..."},
    {"login", "fleet.example:7443 --request request.pem"},
    {"audit list", "--since 7d --operator mia"},
    {"audit export", "--since 24h > audit.jsonl"},
    {"audit verify", "--file audit.jsonl"},
    {"completion", "bash > ~/.local/share/bash-completion/completions/quantfleet"},
    {"manual", "job submit | man -l -"},
    {"manual", "--out ~/.local/share/man/man1"},
};

CLI::App* Find(CLI::App* app, std::string_view path) {
  while (app != nullptr && !path.empty()) {
    const size_t end = std::min(path.find(' '), path.size());
    const std::vector<CLI::App*> found = app->get_subcommands(
        [name = path.substr(0, end)](const CLI::App* one) { return one->get_name() == name; });
    app = found.empty() ? nullptr : found.front();
    path.remove_prefix(std::min(end + 1, path.size()));
  }
  return app;
}

}  // namespace

void AddExamples(CLI::App& app) {
  for (const Example* at = std::begin(kExamples); at != std::end(kExamples);) {
    CLI::App* command = Find(&app, at->command);
    std::string text = "Examples:\n";
    const std::string_view path = at->command;
    for (; at != std::end(kExamples) && at->command == path; ++at)
      text +=
          fmt::format("  {} {}{}{}\n", app.get_name(), path, at->line.empty() ? "" : " ", at->line);
    if (command != nullptr) command->footer(text + "\n" + command->get_footer());
  }
}

}  // namespace quantfleet::cli
