#include "agent/fleet_commands.h"

#include <fmt/core.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>

#include "agent/agent.h"
#include "agent/identity/enrolment.h"
#include "agent/platform/hardware.h"
#include "agent/platform/state_lock.h"
#include "agent/run_until_signal.h"
#include "agent/runtime/kernel_benchmark.h"
#include "agent/status_file.h"

namespace quantfleet::agent {
namespace {

struct FactOptions {
  std::string file;
  std::vector<std::string> facts;
};

void AddFactOptions(CLI::App& command, FactOptions& options) {
  command.add_option("--facts", options.file, "JSON of hardware facts that replace those found")
      ->type_name("FILE");
  command
      .add_option("--fact", options.facts, "one hardware fact that replaces the one found, as in form=iot")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
}

// What was kept at enrolment, then the file, then single facts.
absl::StatusOr<v1::HardwareFacts> ReadOverrides(const fs::path& state, const FactOptions& options) {
  FileSystem& files = RealFileSystem();
  QF_ASSIGN_OR_RETURN(v1::HardwareFacts overrides, LoadOverrides(files, state));
  if (!options.file.empty()) {
    QF_ASSIGN_OR_RETURN(const v1::HardwareFacts said, ReadFactsFile(files, options.file));
    Override(said, &overrides);
  }
  for (const std::string& fact : options.facts) QF_RETURN_IF_ERROR(AddFact(fact, &overrides));
  return overrides;
}

struct EnrollOptions {
  std::string state = DefaultStateFolder().string();
  std::string server, token, token_file;
  FactOptions facts;
};

absl::StatusOr<std::string> ReadToken(const EnrollOptions& options) {
  std::string token = options.token;
  if (token.empty() && !options.token_file.empty()) {
    QF_ASSIGN_OR_RETURN(token, RealFileSystem().ReadAll(options.token_file, 4096));
  }
  while (!token.empty() && std::isspace(static_cast<unsigned char>(token.back()))) token.pop_back();
  if (token.empty())
    return InvalidArgument(
        "no token: give --token, --token-file or QUANTFLEET_TOKEN; `quantfleet token create` makes one");
  return token;
}

absl::Status Enroll(const EnrollOptions& options) {
  FileSystem& files = RealFileSystem();
  const fs::path state = options.state;
  QF_ASSIGN_OR_RETURN(const std::string token, ReadToken(options));
  QF_RETURN_IF_ERROR(files.CreateDirectories(state));
  QF_ASSIGN_OR_RETURN(const StateLock lock, StateLock::Take(state));
  QF_ASSIGN_OR_RETURN(const v1::HardwareFacts overrides, ReadOverrides(state, options.facts));
  v1::HardwareFacts facts = FindFacts(files, *MakeHardware(files), [] { return MeasureKernel(); }, state);
  Override(overrides, &facts);
  QF_RETURN_IF_ERROR(SaveOverrides(files, state, overrides));

  const RealClock system;
  TrustedClock clock(system);
  SecureRandom random;
  const IdentityStore store(files, state);
  QF_ASSIGN_OR_RETURN(
      const Enrolment enrolment,
      Enrol(store, ConnectGrpc, clock, random,
            {.server = options.server, .token = token, .facts = facts, .agent_version = QUANTFLEET_VERSION}));
  const DeviceIdentity& identity = enrolment.identity;
  fmt::print("{} with {} as {}, class {}\n", enrolment.already_enrolled ? "already enrolled" : "enrolled",
             identity.server, identity.device_id,
             identity.device_class.empty() ? "none yet" : identity.device_class);
  return absl::OkStatus();
}

struct StartOptions {
  std::string state = DefaultStateFolder().string();
  std::string listen = "127.0.0.1:0";
  bool once = false;
  int threads = 0;
  std::vector<std::string> runtimes;
  FactOptions facts;
};

absl::Status Start(const StartOptions& options) {
  spdlog::set_default_logger(spdlog::stderr_logger_mt("agent"));
  spdlog::set_pattern("%Y-%m-%dT%H:%M:%S.%e %^%l%$ %v");
  spdlog::flush_on(spdlog::level::info);
  const absl::Status result = RunUntilSignal([&](std::stop_token stop) -> absl::Status {
    AgentOptions agent;
    agent.state = options.state;
    agent.listen = options.listen;
    agent.once = options.once;
    agent.threads = options.threads;
    QF_ASSIGN_OR_RETURN(agent.runtimes, ParseAllowedRuntimes(options.runtimes));
    QF_ASSIGN_OR_RETURN(agent.overrides, ReadOverrides(options.state, options.facts));
    const RealClock clock;
    SecureRandom random;
    return RunAgent({RealFileSystem(), clock, random, ConnectGrpc}, agent, stop);
  });
  if (result.ok()) spdlog::info("stopped");
  return result;
}

void AddEnroll(CLI::App& app, Action& action) {
  auto options = std::make_shared<EnrollOptions>();
  CLI::App* command = app.add_subcommand("enroll", "make this machine a device of a daemon's fleet");
  command->add_option("--server", options->server, "the daemon's gRPC address")
      ->type_name("HOST:PORT")
      ->required();
  command->add_option("--token", options->token, "as `quantfleet token create` printed it")
      ->envname("QUANTFLEET_TOKEN")
      ->type_name("T");
  command->add_option("--token-file", options->token_file, "a file that holds the token")->type_name("FILE");
  command->add_option("--state", options->state, "the agent's folder")
      ->type_name("DIR")
      ->capture_default_str();
  AddFactOptions(*command, options->facts);
  command->callback([options, &action] { action = [options] { return Enroll(*options); }; });
}

void AddStart(CLI::App& app, Action& action) {
  auto options = std::make_shared<StartOptions>();
  CLI::App* command = app.add_subcommand("start", "keep this device's models current and answer with them");
  command->add_option("--state", options->state, "the agent's folder")
      ->type_name("DIR")
      ->capture_default_str();
  command
      ->add_option("--listen", options->listen,
                   "loopback address of the completion endpoint (port 0: a free one), or unix:PATH")
      ->type_name("HOST:PORT")
      ->capture_default_str();
  command->add_option("--threads", options->threads, "of the engine; 0: as many as cores")
      ->check(CLI::Range(0, 1024))
      ->type_name("N");
  command
      ->add_option("--allow-runtime", options->runtimes,
                   "a program that a device class may start here to run its models, by this name; may be given again")
      ->type_name("NAME=/PATH")
      ->allow_extra_args(false);
  command->add_flag("--once", options->once,
                    "end when the device is up to date: 0 when healthy, 1 when something failed");
  AddFactOptions(*command, options->facts);
  command->callback([options, &action] { action = [options] { return Start(*options); }; });
}

void AddStatus(CLI::App& app, Action& action) {
  auto state = std::make_shared<std::string>(DefaultStateFolder().string());
  auto json = std::make_shared<bool>(false);
  CLI::App* command = app.add_subcommand("status", "who this device is and what it runs");
  command->add_option("--state", *state, "the agent's folder")->type_name("DIR")->capture_default_str();
  command->add_flag("--json", *json, "for programs");
  command->callback([state, json, &action] {
    action = [state, json]() -> absl::Status {
      QF_ASSIGN_OR_RETURN(const AgentStatus status, ReadStatus(RealFileSystem(), *state));
      fmt::print("{}", *json ? StatusJson(status) : StatusText(status));
      return absl::OkStatus();
    };
  });
}

}  // namespace

void AddFleetCommands(CLI::App& app, Action& action) {
  AddEnroll(app, action);
  AddStart(app, action);
  AddStatus(app, action);
}

}  // namespace quantfleet::agent
