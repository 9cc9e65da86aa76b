#include "daemon/program.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <limits>
#include <optional>

#include "common/base/access.h"
#include "common/base/open_files.h"
#include "common/base/stop_signals.h"
#include "daemon/maintenance.h"
#include "daemon/server.h"

namespace quantfleet::daemon {
namespace {

constexpr int kExitStart = 1;  // could not start; stderr says why
constexpr int kExitUsage = 2;
constexpr std::chrono::seconds kDevCheckIn{2};

struct Flags {
  bool dev = false, version = false;
  std::string config, data, listen, http, enrollment_ca, evaluation_text, log_level;
  int64_t enrollment_queue = -1;
  double check_in = 0;
  uint64_t memory_mib = 0;
  int threads = -1;
  int64_t evaluation_tokens = -1;
};

void Define(CLI::App& app, Flags& flags) {
  app.add_flag("--dev", flags.dev,
               "Embedded defaults: no configuration file, short check-in intervals");
  app.add_option("--config", flags.config, "TOML file with the settings below")
      ->check(CLI::ExistingFile);
  app.add_option("--data", flags.data, "Folder for state, keys and blobs [./quantfleet-data]");
  app.add_option("--listen", flags.listen,
                 "gRPC address, HOST:PORT; port 0 takes any [127.0.0.1:7443]");
  app.add_option("--http", flags.http,
                 "HTTPS address, HOST:PORT; port 0 takes any [127.0.0.1:7444]");
  app.add_option("--check-in", flags.check_in,
                 "Seconds between a device's check-ins [2 with --dev, else 30]")
      ->check(CLI::Range(0.1, 86'400.0));
  app.add_option("--enrollment-queue", flags.enrollment_queue,
                 "Devices without token or leave that may wait for an operator at once; 0: they "
                 "are refused [0]")
      ->check(CLI::Range(int64_t{0}, kMaxQueue));
  app.add_option("--enrollment-ca", flags.enrollment_ca,
                 "PEM of CAs whose certificates let devices in [none]")
      ->check(CLI::ExistingFile);
  // As 0.1 spells them; to go with 0.3.
  app.add_option("--enrolment-queue", flags.enrollment_queue)
      ->check(CLI::Range(int64_t{0}, kMaxQueue))
      ->group("");
  app.add_option("--enrolment-ca", flags.enrollment_ca)->check(CLI::ExistingFile)->group("");
  app.add_option("--memory", flags.memory_mib, "MiB that one job may hold in flight [512]")
      ->check(CLI::Range(16, 1 << 20));
  app.add_option("--threads", flags.threads, "Threads of a job [0: as many as cores]")
      ->check(CLI::Range(0, 4096));
  app.add_option("--evaluation-tokens", flags.evaluation_tokens,
                 "Tokens of a text that each artifact is measured on, beside the source's "
                 "precision; 0: none [256]")
      ->check(CLI::Range(0, 1 << 20));
  app.add_option("--evaluation-text", flags.evaluation_text, "That text [a shipped one]")
      ->check(CLI::ExistingFile);
  app.add_option("--log-level", flags.log_level, "debug, info, warning, error or off [info]");
  app.add_flag("--version", flags.version, "Print the version and exit");
}

// `what` was done, or was not: as the exit code.
int Tell(const absl::StatusOr<std::string>& what) {
  if (what.ok())
    fmt::print("{}\n", *what);
  else
    fmt::print(stderr, "quantfleetd: {}\n", Message(what.status()));
  return what.ok() ? 0 : kExitStart;
}

// Commands on a data folder; each writes its exit code.
void DefineMaintenance(CLI::App& app, const Flags& flags, int& exit_code) {
  app.require_subcommand(0, 1)->fallthrough();  // --data may stand behind them
  const auto data = [&flags] {
    return flags.data.empty() ? fs::path(Config().data) : fs::path(flags.data);
  };
  CLI::App* backup =
      app.add_subcommand("backup", "Copy state and keys, also while the daemon runs");
  auto folder = std::make_shared<std::string>();
  backup->add_option("FOLDER", *folder, "A new folder")->required();
  backup->callback([=, &exit_code] {
    const absl::Status done = BackUp(RealFileSystem(), data(), *folder);
    exit_code = Tell(done.ok() ? absl::StatusOr<std::string>(
                                     *folder + ": state and keys; blobs are made again by jobs")
                               : done);
  });
  CLI::App* restore = app.add_subcommand("restore", "Make an empty data folder out of a backup");
  restore->add_option("FOLDER", *folder, "Of `quantfleetd backup`")->required();
  restore->callback([=, &exit_code] {
    const absl::Status done = Restore(RealFileSystem(), *folder, data());
    exit_code = Tell(done.ok() ? absl::StatusOr<std::string>(data().string() +
                                                             ": restored; start the daemon on it")
                               : done);
  });
  CLI::App* keys =
      app.add_subcommand("keys", "Change the signing key or the CA of a daemon that does not run");
  keys->require_subcommand(1);
  auto ca = std::make_shared<bool>(false);
  CLI::App* rotate = keys->add_subcommand(
      "rotate", "Add a new signing key; devices learn of it at their check-ins");
  rotate->add_flag("--ca", *ca, "A new CA instead; devices change to certificates of it");
  rotate->callback([=, &exit_code] {
    exit_code = Tell((*ca ? RotateCa : RotateSigningKey)(RealFileSystem(), RealClock(), data()));
  });
  auto force = std::make_shared<bool>(false);
  CLI::App* retire =
      keys->add_subcommand("retire", "Drop the old one, once the devices are ready for it");
  retire->add_flag("--force", *force, "Also where some are not: they have to enroll again");
  retire->callback([=, &exit_code] {
    exit_code = Tell(RetireOldKeys(RealFileSystem(), RealClock(), data(), *force));
  });
}

absl::StatusOr<Config> MakeConfig(const Flags& flags) {
  if (flags.dev == !flags.config.empty())
    return InvalidArgument("give either --dev or --config FILE");
  Config config;
  if (flags.dev) {
    config.check_in = kDevCheckIn;
  } else {
    QF_ASSIGN_OR_RETURN(const std::string text, RealFileSystem().ReadAll(flags.config));
    auto parsed = ParseConfig(text);
    if (!parsed.ok()) return Annotate(parsed.status(), flags.config);
    config = *std::move(parsed);
  }
  if (!flags.data.empty()) config.data = flags.data;
  if (!flags.listen.empty()) {
    QF_ASSIGN_OR_RETURN(config.listen, ParseHostPort(flags.listen));
  }
  if (!flags.http.empty()) {
    QF_ASSIGN_OR_RETURN(config.http, ParseHostPort(flags.http));
  }
  if (flags.check_in > 0)
    config.check_in = std::chrono::milliseconds(static_cast<int64_t>(flags.check_in * 1000));
  if (flags.enrollment_queue >= 0)
    config.enrollment_queue = static_cast<uint64_t>(flags.enrollment_queue);
  if (!flags.enrollment_ca.empty()) config.enrollment_ca = flags.enrollment_ca;
  if (flags.memory_mib > 0) config.memory_mib = flags.memory_mib;
  if (flags.threads >= 0) config.threads = flags.threads;
  if (flags.evaluation_tokens >= 0) config.evaluation_tokens = flags.evaluation_tokens;
  if (!flags.evaluation_text.empty()) config.evaluation_text = flags.evaluation_text;
  if (!flags.log_level.empty()) config.log_level = flags.log_level;
  QF_RETURN_IF_ERROR(CheckLogLevel(config.log_level));
  return config;
}

int Run(const Config& config) {
  const sigset_t signals = BlockStopSignals();
  // A connection each for every device: as many as the machine allows.
  if (const auto files = RaiseOpenFiles(std::numeric_limits<uint64_t>::max()); !files.ok())
    spdlog::warn("{}", Describe(files.status()));
  RealClock clock;
  SecureRandom random;
  const auto log = [](std::string_view line) { spdlog::info("{}", line); };
  auto server = Server::Start(config, {RealFileSystem(), clock, random, log});
  if (!server.ok()) {
    fmt::print(stderr, "quantfleetd: {}\n", Message(server.status()));
    return kExitStart;
  }
  const std::string admin = fs::absolute((*server)->admin_credential()).string();
  spdlog::info("gRPC at {}, HTTPS at {}, data in {}", ToString((*server)->grpc()),
               ToString((*server)->http()), fs::absolute(config.data).string());
  spdlog::info("admin credential: {}", admin);
  spdlog::info("try: quantfleet --credential {} status", admin);
  int signal = 0;
  sigwait(&signals, &signal);
  spdlog::info("stopping");
  (*server)->Stop();
  spdlog::info("stopped");
  return 0;
}

int Run(int argc, char** argv) {
  CLI::App app(
      "The central daemon of quantfleet: quantizes models for device classes and keeps a fleet "
      "running them.",
      "quantfleetd");
  Flags flags;
  int maintained = -1;
  Define(app, flags);
  DefineMaintenance(app, flags, maintained);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : kExitUsage;
  }
  if (maintained >= 0) return maintained;
  if (flags.version) {
    fmt::print("quantfleetd {}\n", QUANTFLEET_VERSION);
    return 0;
  }
  const auto config = MakeConfig(flags);
  if (!config.ok()) {
    fmt::print(stderr, "quantfleetd: {}\n", Message(config.status()));
    return kExitUsage;
  }
  spdlog::set_default_logger(spdlog::stderr_logger_mt("quantfleetd"));
  spdlog::set_pattern("%Y-%m-%dT%H:%M:%S.%e %l %v");
  spdlog::set_level(spdlog::level::from_str(config->log_level));
  return Run(*config);
}

}  // namespace

int RunProgram(int argc, char** argv) {
  KeepOthersFromWriting();
  try {
    return Run(argc, argv);
  } catch (const std::exception& e) {
    fmt::print(stderr, "quantfleetd: {}\n", e.what());
    return kExitStart;
  }
}

}  // namespace quantfleet::daemon
