#include "agent/fleet_commands.h"

#include <fmt/core.h>
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <boost/json.hpp>

#include "agent/agent.h"
#include "agent/fleet_settings.h"
#include "agent/platform/hardware.h"
#include "agent/platform/state_lock.h"
#include "agent/provision.h"
#include "agent/run_until_signal.h"
#include "agent/self/launcher.h"
#include "agent/self/trial.h"
#include "agent/status_file.h"
#include "common/log/log.h"
#include "common/trust/certificate.h"

namespace quantfleet::agent {
namespace {

// First what was kept at enrollment, then the file, then single facts.
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

absl::Status Enroll(const EnrollOptions& options, const Program& program) {
  const RealClock clock;
  SecureRandom random;
  RealSleeper sleeper;
  const AgentWorld world{RealFileSystem(), clock, random, ConnectGrpc, program.version};
  QF_RETURN_IF_ERROR(ReadProvisioning(world.files, options.given)
                         .status());  // a file that is absent is not waited for here
  QF_ASSIGN_OR_RETURN(const v1::HardwareFacts overrides,
                      ReadOverrides(options.state, options.facts));
  const auto attempt = [&] { return EnrollAs(world, options.state, overrides, options.given); };
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

// The installed program starts the release that this device updated to.
void BecomeRelease(const StartOptions& options, const Program& program) {
  const absl::Status became =
      BecomeCurrent(RealFileSystem(), options.state, program.version, program.argv);
  if (!became.ok())
    spdlog::error("cannot start the agent's release, continuing with this program: {}",
                  Describe(became));
}

absl::Status Start(const StartOptions& options, const Program& program) {
  StartLogging("agent", "%Y-%m-%dT%H:%M:%S.%e %^%l%$ %v");
  spdlog::flush_on(spdlog::level::info);
  BecomeRelease(options, program);
  AgentEnd end = AgentEnd::kStopped;
  const absl::Status result = RunUntilSignal([&](std::stop_token stop) -> absl::Status {
    AgentOptions agent;
    agent.state = options.state;
    agent.listen = options.listen;
    agent.plain_chat = options.plain_chat;
    agent.once = options.once;
    agent.threads = options.threads;
    agent.min_download_rate = static_cast<uint64_t>(options.min_download_rate);
    QF_ASSIGN_OR_RETURN(agent.runtimes, ParseAllowedRuntimes(options.runtimes));
    agent.runtime_disk_bytes = static_cast<uint64_t>(options.runtime_disk_mib) << 20;
    QF_ASSIGN_OR_RETURN(agent.overrides, ReadOverrides(options.state, options.facts));
    const RealClock clock;
    SecureRandom random;
    RealSleeper sleeper;
    const AgentWorld world{RealFileSystem(), clock, random, ConnectGrpc, program.version};
    const absl::Status enrolled =
        EnsureEnrolled(world, options.state, agent.overrides, options.given, sleeper, stop);
    if (stop.stop_requested()) return absl::OkStatus();
    QF_RETURN_IF_ERROR(enrolled);
    QF_ASSIGN_OR_RETURN(end, RunAgent(world, agent, stop));
    return absl::OkStatus();
  });
  if (result.ok() && end == AgentEnd::kBecomeCurrent) {
    QF_RETURN_IF_ERROR(
        BecomeCurrent(RealFileSystem(), options.state, program.version, program.argv));
    return Internal(
        "the agent was to execute another program but is already running it: start the agent "
        "again");
  }
  if (result.ok()) spdlog::info("stopped");
  return result;
}

// Adds the flags of `rows` to the command, which then does `act`.
void AddSettings(CLI::App& command, const config::Settings& rows, Action& action,
                 std::function<absl::Status()> act) {
  const config::Given given = config::AddFlags(rows, command, /*fallback_in_help=*/false);
  command.callback([given, act = std::move(act), &action] {
    action = [given, act]() -> absl::Status {
      QF_RETURN_IF_ERROR(given.Apply());
      return act();
    };
  });
}

void AddEnroll(CLI::App& app, Action& action, const Program& program) {
  const auto options = std::make_shared<EnrollOptions>();
  CLI::App* command =
      app.add_subcommand("enroll", "make this machine a device of a daemon's fleet");
  AddSettings(*command, SettingsOf(*options), action,
              [options, program] { return Enroll(*options, program); });
}

void AddStart(CLI::App& app, Action& action, const Program& program) {
  const auto options = std::make_shared<StartOptions>();
  CLI::App* command =
      app.add_subcommand("start", "keep this device's models current and serve them");
  AddSettings(*command, SettingsOf(*options), action,
              [options, program] { return Start(*options, program); });
}

// Run by a release of the agent before it takes over; not a command for people.
void AddTrial(CLI::App& app, Action& action, const Program& program) {
  auto state = std::make_shared<std::string>();
  auto manifest = std::make_shared<std::string>();
  CLI::App* command =
      app.add_subcommand("trial", "check that this program can replace the running agent")
          ->group("");
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

// Creates the key if there is none, so that the device can be put on the allowlist before it
// enrolls.
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

// Of the commands that describe the device.
struct ShowOptions {
  std::string state;
  bool json = false;
};

config::Settings SettingsOf(ShowOptions& to) {
  return {
      StateSetting(to.state),
      {.flag = "--json", .value = config::Into(to.json), .help = "print JSON"},
  };
}

absl::Status ShowIdentity(const ShowOptions& options) {
  QF_ASSIGN_OR_RETURN(const boost::json::object identity, FindIdentity(options.state));
  if (options.json) {
    fmt::print("{}\n", std::string(boost::json::serialize(identity)));
    return absl::OkStatus();
  }
  const auto text = [&](const char* name) {
    return std::string(identity.at(name).as_string().c_str());
  };
  fmt::print("device      {}\npublic key  {}\n", text("device_id"), text("public_key_sha256"));
  if (!text("server").empty()) fmt::print("daemon      {}\n", text("server"));
  return absl::OkStatus();
}

absl::Status ShowStatus(const ShowOptions& options) {
  QF_ASSIGN_OR_RETURN(const AgentStatus status, ReadStatus(RealFileSystem(), options.state));
  fmt::print("{}", options.json ? StatusJson(status) : StatusText(status));
  return absl::OkStatus();
}

void AddShow(CLI::App& app, Action& action, const char* name, const char* help,
             absl::Status (*show)(const ShowOptions&)) {
  const auto options = std::make_shared<ShowOptions>();
  AddSettings(*app.add_subcommand(name, help), SettingsOf(*options), action,
              [options, show] { return show(*options); });
}

}  // namespace

void AddFleetCommands(CLI::App& app, Action& action, const Program& program) {
  AddEnroll(app, action, program);
  AddStart(app, action, program);
  AddTrial(app, action, program);
  AddShow(app, action, "identity", "print the device's id and key; makes the key if there is none",
          ShowIdentity);
  AddShow(app, action, "status", "print the device's identity and what it runs", ShowStatus);
}

}  // namespace quantfleet::agent
