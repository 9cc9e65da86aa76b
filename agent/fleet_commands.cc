#include "agent/fleet_commands.h"

#include <fmt/core.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <boost/json.hpp>

#include "agent/agent.h"
#include "agent/platform/hardware.h"
#include "agent/platform/state_lock.h"
#include "agent/provision.h"
#include "agent/run_until_signal.h"
#include "agent/self/launcher.h"
#include "agent/self/trial.h"
#include "agent/status_file.h"
#include "common/trust/certificate.h"

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
      .add_option("--fact", options.facts,
                  "one hardware fact that replaces the one found, as in form=iot")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
}

// What was kept at enrollment, then the file, then single facts.
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

struct GivenOptions {
  std::string server, token, token_file, ca, certificate, key;
  std::string command_line = Provisioning().command_line.string();

  Provisioning ToProvisioning() const {
    return {.server = server,
            .token = token,
            .ca = ca,
            .token_file = token_file,
            .certificate = certificate,
            .certificate_key = key,
            .command_line = command_line};
  }
};

void AddGivenOptions(CLI::App& command, GivenOptions& options) {
  command.add_option("--server", options.server, "the daemon's gRPC address")
      ->envname("QUANTFLEET_SERVER")
      ->type_name("HOST:PORT");
  command.add_option("--token", options.token, "as `quantfleet token create` printed it")
      ->envname("QUANTFLEET_TOKEN")
      ->type_name("T");
  command.add_option("--token-file", options.token_file, "a file that holds the token")
      ->envname("QUANTFLEET_TOKEN_FILE")
      ->type_name("FILE");
  command
      .add_option("--ca", options.ca,
                  "without a token: SHA-256 of the daemon's CA, as `quantfleet status` shows it")
      ->envname("QUANTFLEET_CA")
      ->type_name("HEX");
  command
      .add_option("--certificate", options.certificate,
                  "the device's own, of a CA that the daemon trusts")
      ->type_name("PEM");
  command.add_option("--key", options.key, "that certificate's key")->type_name("PEM");
  command
      .add_option("--kernel-command-line", options.command_line,
                  "where quantfleet.server=, quantfleet.token= and quantfleet.ca= are looked for")
      ->type_name("FILE")
      ->capture_default_str();
}

struct EnrollOptions {
  std::string state = DefaultStateFolder().string();
  GivenOptions given;
  bool no_wait = false;
  FactOptions facts;
};

absl::Status Enroll(const EnrollOptions& options, const Program& program) {
  const RealClock clock;
  SecureRandom random;
  RealSleeper sleeper;
  const AgentWorld world{RealFileSystem(), clock, random, ConnectGrpc, program.version};
  const Provisioning given = options.given.ToProvisioning();
  QF_RETURN_IF_ERROR(ReadProvisioning(world.files, given)
                         .status());  // a file that is absent is not waited for here
  QF_ASSIGN_OR_RETURN(const v1::HardwareFacts overrides,
                      ReadOverrides(options.state, options.facts));
  const auto attempt = [&] { return EnrollAs(world, options.state, overrides, given); };
  std::string said;
  const Patience patience{.stubborn = false, .on_wait = [&](const absl::Status& why, Duration) {
                            if (said != Message(why))
                              fmt::print(stderr, "waiting: {}\n", Message(why));
                            said = Message(why);
                          }};
  QF_ASSIGN_OR_RETURN(
      const Enrollment enrollment,
      options.no_wait ? attempt() : EnrollPatiently(attempt, patience, random, sleeper, {}));
  const DeviceIdentity& identity = enrollment.identity;
  fmt::print("{} with {} as {}, class {}\n",
             enrollment.already_enrolled ? "already enrolled" : "enrolled", identity.server,
             identity.device_id,
             identity.device_class.empty() ? "none yet" : identity.device_class);
  return absl::OkStatus();
}

struct StartOptions {
  std::string state = DefaultStateFolder().string();
  std::string listen = "127.0.0.1:0";
  bool once = false;
  int threads = 0;
  std::vector<std::string> runtimes;
  GivenOptions given;
  FactOptions facts;
};

// The installed program starts the release that this device updated to.
void BecomeRelease(const StartOptions& options, const Program& program) {
  const absl::Status became =
      BecomeCurrent(RealFileSystem(), options.state, program.version, program.argv);
  if (!became.ok())
    spdlog::error("the agent's release is not started, this program goes on: {}", Describe(became));
}

absl::Status Start(const StartOptions& options, const Program& program) {
  spdlog::set_default_logger(spdlog::stderr_logger_mt("agent"));
  spdlog::set_pattern("%Y-%m-%dT%H:%M:%S.%e %^%l%$ %v");
  spdlog::flush_on(spdlog::level::info);
  BecomeRelease(options, program);
  AgentEnd end = AgentEnd::kStopped;
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
    RealSleeper sleeper;
    const AgentWorld world{RealFileSystem(), clock, random, ConnectGrpc, program.version};
    const absl::Status enrolled = EnsureEnrolled(world, options.state, agent.overrides,
                                                 options.given.ToProvisioning(), sleeper, stop);
    if (stop.stop_requested()) return absl::OkStatus();
    QF_RETURN_IF_ERROR(enrolled);
    QF_ASSIGN_OR_RETURN(end, RunAgent(world, agent, stop));
    return absl::OkStatus();
  });
  if (result.ok() && end == AgentEnd::kBecomeCurrent) {
    QF_RETURN_IF_ERROR(
        BecomeCurrent(RealFileSystem(), options.state, program.version, program.argv));
    return Internal(
        "the agent was to become another program, and is the one already: start it again");
  }
  if (result.ok()) spdlog::info("stopped");
  return result;
}

void AddEnroll(CLI::App& app, Action& action, const Program& program) {
  auto options = std::make_shared<EnrollOptions>();
  CLI::App* command =
      app.add_subcommand("enroll", "make this machine a device of a daemon's fleet");
  AddGivenOptions(*command, options->given);
  command->add_flag("--no-wait", options->no_wait,
                    "fail where an operator has to decide first, in place of waiting");
  command->add_option("--state", options->state, "the agent's folder")
      ->type_name("DIR")
      ->capture_default_str();
  AddFactOptions(*command, options->facts);
  command->callback([options, program, &action] {
    action = [options, program] { return Enroll(*options, program); };
  });
}

void AddStart(CLI::App& app, Action& action, const Program& program) {
  auto options = std::make_shared<StartOptions>();
  CLI::App* command =
      app.add_subcommand("start", "keep this device's models current and answer with them");
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
                   "a program that a device class may start here to run its models, by this name; "
                   "may be given again")
      ->type_name("NAME=/PATH")
      ->allow_extra_args(false);
  AddGivenOptions(*command, options->given);
  command->add_flag("--once", options->once,
                    "end when the device is up to date: 0 when healthy, 1 when something failed");
  AddFactOptions(*command, options->facts);
  command->callback([options, program, &action] {
    action = [options, program] { return Start(*options, program); };
  });
}

// What a release of the agent is asked before it takes over; no command for people.
void AddTrial(CLI::App& app, Action& action, const Program& program) {
  auto state = std::make_shared<std::string>();
  auto manifest = std::make_shared<std::string>();
  CLI::App* command =
      app.add_subcommand("trial", "show that this program could take the agent's place")->group("");
  command->add_option("--state", *state)->required();
  command->add_option("--manifest", *manifest)->required();
  command->callback([state, manifest, program, &action] {
    action = [state, manifest, program]() -> absl::Status {
      QF_ASSIGN_OR_RETURN(const Digest release, Digest::FromHexText(*manifest));
      const RealClock clock;
      SecureRandom random;
      RealSleeper sleeper;
      const TrialWorld world{RealFileSystem(), clock, random, sleeper, ConnectGrpc};
      QF_RETURN_IF_ERROR(PassTrial(world, *state, release, program.version));
      fmt::print("{}\n", program.version);
      return absl::OkStatus();
    };
  });
}

// Makes the key when there is none, so that the device may be allowed before it asks.
absl::StatusOr<boost::json::object> FindIdentity(const fs::path& state) {
  FileSystem& files = RealFileSystem();
  QF_RETURN_IF_ERROR(files.MakeFolder(state));
  const IdentityStore store(files, state);
  std::string private_pem;
  if (store.HasKey()) {
    QF_ASSIGN_OR_RETURN(private_pem, store.DeviceKey());
  } else {
    QF_ASSIGN_OR_RETURN(const StateLock lock, StateLock::Take(files, state));
    QF_ASSIGN_OR_RETURN(private_pem, store.DeviceKey());
  }
  QF_ASSIGN_OR_RETURN(const Digest key, trust::PublicKeyDigest(private_pem));
  const auto enrolled = store.Load();
  return boost::json::object{{"device_id", trust::DeviceIdOf(key)},
                             {"public_key_sha256", key.hex()},
                             {"server", enrolled.ok() ? enrolled->server : ""}};
}

void AddIdentity(CLI::App& app, Action& action) {
  auto state = std::make_shared<std::string>(DefaultStateFolder().string());
  auto json = std::make_shared<bool>(false);
  CLI::App* command =
      app.add_subcommand("identity", "the device's id and key, made now if there is none");
  command->add_option("--state", *state, "the agent's folder")
      ->type_name("DIR")
      ->capture_default_str();
  command->add_flag("--json", *json, "for programs");
  command->callback([state, json, &action] {
    action = [state, json]() -> absl::Status {
      QF_ASSIGN_OR_RETURN(const boost::json::object identity, FindIdentity(*state));
      if (*json) {
        fmt::print("{}\n", std::string(boost::json::serialize(identity)));
        return absl::OkStatus();
      }
      const auto text = [&](const char* name) {
        return std::string(identity.at(name).as_string().c_str());
      };
      fmt::print("device      {}\npublic key  {}\n", text("device_id"), text("public_key_sha256"));
      if (!text("server").empty()) fmt::print("daemon      {}\n", text("server"));
      return absl::OkStatus();
    };
  });
}

void AddStatus(CLI::App& app, Action& action) {
  auto state = std::make_shared<std::string>(DefaultStateFolder().string());
  auto json = std::make_shared<bool>(false);
  CLI::App* command = app.add_subcommand("status", "who this device is and what it runs");
  command->add_option("--state", *state, "the agent's folder")
      ->type_name("DIR")
      ->capture_default_str();
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

void AddFleetCommands(CLI::App& app, Action& action, const Program& program) {
  AddEnroll(app, action, program);
  AddStart(app, action, program);
  AddTrial(app, action, program);
  AddIdentity(app, action);
  AddStatus(app, action);
}

}  // namespace quantfleet::agent
