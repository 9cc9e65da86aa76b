#include "daemon/program.h"

#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <limits>
#include <optional>

#include "common/base/access.h"
#include "common/base/open_files.h"
#include "common/base/stop_signals.h"
#include "common/log/log.h"
#include "common/shell/shell_commands.h"
#include "daemon/data_state.h"
#include "daemon/maintenance.h"
#include "daemon/server.h"

namespace quantfleet::daemon {
namespace {

constexpr int kExitStart = 1;  // could not start; stderr says why
constexpr int kExitUsage = 2;
constexpr std::chrono::seconds kDevCheckIn{2};

struct Flags {
  bool dev = false, version = false;
  std::string file;
  config::Given given;  // goes to the configuration, once the file is read
};

void Define(CLI::App& app, Config& config, Flags& flags) {
  app.add_flag("--dev", flags.dev,
               "Use embedded defaults: no configuration file, short check-in intervals");
  app.add_option("--config", flags.file, "TOML file with the settings")->check(CLI::ExistingFile);
  flags.given = config::AddFlags(SettingsOf(config), app, /*fallback_in_help=*/true);
  app.add_flag("--version", flags.version, "Print the version and exit");
}

// Prints what was done, or why not, and returns the exit code.
int Tell(const absl::StatusOr<std::string>& what) {
  if (what.ok())
    fmt::print("{}\n", *what);
  else
    fmt::print(stderr, "quantfleetd: {}\n", Message(what.status()));
  return what.ok() ? 0 : kExitStart;
}

// Commands on a data folder; each writes its exit code.
void DefineMaintenance(CLI::App& app, Config& config, const Flags& flags, int& exit_code) {
  app.require_subcommand(0, 1)->fallthrough();  // --data may stand behind them
  const auto data = [&config, &flags] {
    flags.given.Apply().IgnoreError();  // they want --data alone
    return config.data;
  };
  CLI::App* backup = app.add_subcommand("backup", "Copy state and keys; the daemon may be running");
  auto folder = std::make_shared<std::string>();
  auto models = std::make_shared<bool>(false);
  backup->add_option("FOLDER", *folder, "A new folder")->required();
  backup->add_flag(
      "--models", *models,
      "Copy the files of pushed models as well; without them, a model has to be pushed "
      "again after a restore before jobs can read it");
  backup->callback(
      [=, &exit_code] { exit_code = Tell(BackUp(RealFileSystem(), data(), *folder, *models)); });
  CLI::App* restore = app.add_subcommand("restore", "Restore a backup into an empty data folder");
  restore->add_option("FOLDER", *folder, "A backup made by `quantfleetd backup`")->required();
  restore->callback(
      [=, &exit_code] { exit_code = Tell(Restore(RealFileSystem(), *folder, data())); });
  app.add_subcommand("set-aside",
                     "Move what is left of a lost or damaged state to a folder beside it")
      ->callback(
          [=, &exit_code] { exit_code = Tell(SetAside(RealFileSystem(), RealClock(), data())); });
  CLI::App* keys =
      app.add_subcommand("keys", "Change the signing key or the CA; the daemon must be stopped");
  keys->require_subcommand(1);
  auto ca = std::make_shared<bool>(false);
  CLI::App* rotate = keys->add_subcommand(
      "rotate", "Add a new signing key; devices learn of it when they check in");
  rotate->add_flag("--ca", *ca, "Add a new CA instead; devices replace their certificates");
  rotate->callback([=, &exit_code] {
    exit_code = Tell((*ca ? RotateCa : RotateSigningKey)(RealFileSystem(), RealClock(), data()));
  });
  auto force = std::make_shared<bool>(false);
  CLI::App* retire =
      keys->add_subcommand("retire", "Remove the old key or CA, once all devices know the new one");
  retire->add_flag("--force", *force,
                   "Remove it even if some devices do not; they have to enroll again");
  retire->callback([=, &exit_code] {
    exit_code = Tell(RetireOldKeys(RealFileSystem(), RealClock(), data(), *force));
  });
  CLI::App* operators = app.add_subcommand(
      "operators", "When nobody can log in any more; the daemon must be stopped");
  operators->require_subcommand(1);
  operators
      ->add_subcommand("restore-admin",
                       "Let DATA/admin.json count again, whoever revoked its operator")
      ->callback([=, &exit_code] {
        exit_code = Tell(RestoreAdmin(RealFileSystem(), RealClock(), data()));
      });
  CLI::App* clock = app.add_subcommand(
      "clock", "Tell the daemon that this machine's clock is right; the daemon must be stopped");
  clock->require_subcommand(1);
  clock
      ->add_subcommand("accept",
                       "Start from the present time, whatever the daemon has signed before")
      ->callback([=, &exit_code] {
        exit_code = Tell(AcceptClock(RealFileSystem(), RealClock(), data()));
      });
}

absl::Status MakeConfig(const Flags& flags, Config& config) {
  if (flags.dev == !flags.file.empty())
    return InvalidArgument("pass either --dev or --config FILE");
  if (flags.dev) {
    config.check_in = kDevCheckIn;
  } else {
    QF_ASSIGN_OR_RETURN(const std::string text, RealFileSystem().ReadAll(flags.file));
    auto parsed = ParseConfig(text);
    if (!parsed.ok()) return Annotate(parsed.status(), flags.file);
    config = *std::move(parsed);
  }
  return flags.given.Apply();
}

int Run(const Config& config) {
  const sigset_t signals = BlockStopSignals();
  // One connection for each device: as many as the machine allows.
  if (const auto files = RaiseOpenFiles(std::numeric_limits<uint64_t>::max()); !files.ok())
    spdlog::warn("{}", Describe(files.status()));
  RealClock clock;
  SecureRandom random;
  const auto log = [](std::string_view line) { spdlog::info("{}", line); };
  const auto warn = [](std::string_view line) { spdlog::warn("{}", line); };
  auto server = Server::Start(config, {RealFileSystem(), clock, random, log, warn, &LogEvent});
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
      "The quantfleet daemon: quantizes models for device classes and keeps a fleet of devices "
      "running them.",
      "quantfleetd");
  Config config;
  Flags flags;
  int maintained = -1;
  shell::ShapeMessages(app);
  Define(app, config, flags);
  DefineMaintenance(app, config, flags, maintained);
  shell::AddShellCommands(app, RealFileSystem(), QUANTFLEET_VERSION,
                          [&maintained](const auto& text) { maintained = Tell(text); });
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
  if (const absl::Status made = MakeConfig(flags, config); !made.ok()) {
    fmt::print(stderr, "quantfleetd: {}\n", Message(made));
    return kExitUsage;
  }
  StartLogging("quantfleetd", "%Y-%m-%dT%H:%M:%S.%e %l %v",
               LogFormatNamed(config.log_format).value_or(LogFormat::kText));
  spdlog::set_level(spdlog::level::from_str(config.log_level));
  return Run(config);
}

}  // namespace

int RunProgram(int argc, char** argv) {
  KeepOthersFromWriting();
  KeepMemoryPrivate();
  try {
    return Run(argc, argv);
  } catch (const std::exception& e) {
    fmt::print(stderr, "quantfleetd: {}\n", e.what());
    return kExitStart;
  }
}

}  // namespace quantfleet::daemon
