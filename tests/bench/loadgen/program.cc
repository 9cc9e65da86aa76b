#include "tests/bench/loadgen/program.h"

#include <CLI/CLI.hpp>
#include <boost/json.hpp>
#include <iostream>

#include "tests/bench/loadgen/scenarios.h"

namespace quantfleet::loadgen {
namespace {

constexpr int kExitErrors = 1;  // the scenario could not run, or its report counts errors
constexpr int kExitUsage = 2;

int Print(std::string_view scenario, const Report& report) {
  if (!report.ok()) {
    std::cerr << "quantfleet-loadgen: " << Describe(report.status()) << "\n";
    return kExitErrors;
  }
  boost::json::object whole{
      {"scenario", boost::json::string_view(scenario.data(), scenario.size())}};
  for (const auto& [key, value] : *report) whole[key] = value;
  std::cout << whole << std::endl;
  return report->at("errors").to_number<uint64_t>() == 0 ? 0 : kExitErrors;
}

int Run(int argc, char** argv) {
  CLI::App app(
      "Simulates many devices, with identities and connections of their own, against a quantfleetd "
      "on this "
      "machine.",
      "quantfleet-loadgen");
  app.require_subcommand(1);
  app.fallthrough();
  Common common;
  app.add_option("--data", common.data, "The daemon's data folder")
      ->required()
      ->check(CLI::ExistingDirectory);
  app.add_option("--identities", common.identities, "File of the simulated devices' identities")
      ->required();

  EnrollOptions enroll;
  CLI::App* enroll_command =
      app.add_subcommand("enroll", "Enrolls new devices and adds their identities to the file");
  enroll_command->add_option("devices", enroll.devices, "How many")
      ->required()
      ->check(CLI::Range(1, 10'000'000));
  enroll_command->add_option("--threads", enroll.threads, "Calls under way at once [4]")
      ->check(CLI::Range(1, 256));

  CheckInOptions check_ins;
  CLI::App* check_ins_command =
      app.add_subcommand("checkins", "Check-ins at a pace, over connections that stay open");
  check_ins_command->add_option("connections", check_ins.connections, "One per device")
      ->required()
      ->check(CLI::Range(1, 1'000'000));
  check_ins_command
      ->add_option("--rate", check_ins.per_second,
                   "Check-ins per second, of all together; several: one pace after the other")
      ->required()
      ->check(CLI::Range(0.1, 1e6));
  check_ins_command->add_option("--seconds", check_ins.seconds, "For how long, each pace [10]")
      ->check(CLI::Range(0.1, 86'400.0));

  StormOptions storm;
  CLI::App* storm_command =
      app.add_subcommand("storm", "New connections with full handshakes, each with a check-in");
  storm_command->add_option("connections", storm.connections, "One per device")
      ->required()
      ->check(CLI::Range(1, 1'000'000));
  storm_command->add_option("--seconds", storm.seconds, "Spread over so long [10]")
      ->check(CLI::Range(0.1, 86'400.0));

  RolloutOptions rollout;
  CLI::App* rollout_command =
      app.add_subcommand("rollout",
                         "A rollout to its end: gates are approved, and after a pause it is "
                         "resumed once nobody is under way");
  rollout_command->add_option("model", rollout.model, "With an artifact for class iot-int4")
      ->required();
  rollout_command->add_option("--devices", rollout.devices, "How many")
      ->required()
      ->check(CLI::Range(1, 1'000'000));
  rollout_command->add_option("--plan", rollout.plan, "Plan file in TOML")
      ->required()
      ->check(CLI::ExistingFile);
  rollout_command
      ->add_option("--interval", rollout.interval_seconds,
                   "Seconds between a device's check-ins [10]")
      ->check(CLI::Range(0.1, 86'400.0));
  rollout_command->add_option("--failures", rollout.failures, "Share of devices that fail [0.03]")
      ->check(CLI::Range(0.0, 1.0));
  rollout_command
      ->add_option("--pulls", rollout.pulls, "Share of devices that fetch blobs too [0.01]")
      ->check(CLI::Range(0.0, 1.0));
  rollout_command->add_option("--seed", rollout.seed, "Of who fails and who pulls [1]");
  rollout_command
      ->add_option("--timeout", rollout.timeout_seconds, "Seconds until it is given up [600]")
      ->check(CLI::Range(1.0, 86'400.0));

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : kExitUsage;
  }
  if (*enroll_command) return Print("enroll", Enroll(common, enroll));
  if (*check_ins_command) return Print("checkins", CheckIns(common, check_ins));
  if (*storm_command) return Print("storm", Storm(common, storm));
  return Print("rollout", RollOut(common, rollout));
}

}  // namespace

int RunProgram(int argc, char** argv) {
  try {
    return Run(argc, argv);
  } catch (const std::exception& e) {
    std::cerr << "quantfleet-loadgen: " << e.what() << "\n";
    return kExitErrors;
  }
}

}  // namespace quantfleet::loadgen
