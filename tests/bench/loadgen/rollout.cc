#include <boost/json.hpp>

#include "tests/bench/loadgen/pace.h"
#include "tests/bench/loadgen/rollout_watch.h"
#include "tests/bench/loadgen/scenarios.h"
#include "tests/bench/loadgen/simulated_fleet.h"

namespace quantfleet::loadgen {
namespace {

constexpr auto kLastCalls = std::chrono::seconds(60);

}  // namespace

Report RollOut(const Common& common, const RolloutOptions& options) {
  QF_RETURN_IF_ERROR(MakeRoomForConnections(options.devices));
  QF_ASSIGN_OR_RETURN(const Target target, ReadTarget(common.data));
  QF_ASSIGN_OR_RETURN(const std::vector<Identity> identities,
                      ReadIdentities(common.identities, options.devices));
  Outcomes opened;
  QF_ASSIGN_OR_RETURN(std::vector<Line> lines, OpenLines(target, identities, opened));
  SimulatedFleet fleet(target, identities, std::move(lines),
                       {options.model, options.failures, options.pulls, options.seed});

  QF_ASSIGN_OR_RETURN(const Meter meter, Meter::Begin(target));
  RolloutWatch watch(target, options);
  QF_RETURN_IF_ERROR(watch.Create(identities));
  std::atomic<bool> over{false};
  absl::Status steered;
  std::jthread operator_thread([&] {
    steered = watch.Steer();
    over = true;
  });
  RunPaced(UINT64_MAX, static_cast<double>(fleet.size()) / options.interval_seconds,
           [&](uint64_t k, SteadyTime due) {
             if (over) return false;
             fleet.CheckIn(k % fleet.size(), due);
             return true;
           });
  operator_thread.join();
  const bool quiet = fleet.AwaitQuiet(kLastCalls);

  QF_ASSIGN_OR_RETURN(boost::json::object report, meter.Read());
  const boost::json::object rollout = watch.Report();
  for (const auto& [key, value] : rollout) report[key] = value;
  std::vector<std::string> violations = watch.Violations();
  if (!steered.ok()) violations.push_back(Describe(steered));
  if (!quiet) violations.push_back("calls of devices did not end");
  if (rollout.at("failed").to_number<uint64_t>() != fleet.to_fail())
    violations.push_back(fmt::format("{} devices were made to fail", fleet.to_fail()));
  report["devices"] = fleet.size();
  report["check_ins"] = fleet.check_ins().Report();
  report["artifacts"] = fleet.artifacts().Report();
  report["pulls"] = fleet.blobs().Report();
  report["pulled_bytes"] = fleet.pulled_bytes();
  report["violations"] = boost::json::array(violations.begin(), violations.end());
  report["errors"] = violations.size() + fleet.check_ins().errors() + fleet.artifacts().errors() +
                     fleet.blobs().errors();
  return report;
}

}  // namespace quantfleet::loadgen
