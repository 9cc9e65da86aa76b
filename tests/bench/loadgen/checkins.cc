#include <atomic>

#include "tests/bench/loadgen/crowd.h"
#include "tests/bench/loadgen/pace.h"
#include "tests/bench/loadgen/scenarios.h"

namespace quantfleet::loadgen {
namespace {

constexpr auto kLastAnswers = std::chrono::seconds(30);  // longer than a call's deadline

}  // namespace

Report CheckIns(const Common& common, const CheckInOptions& options) {
  QF_RETURN_IF_ERROR(MakeRoomForConnections(options.connections));
  QF_ASSIGN_OR_RETURN(const Target target, ReadTarget(common.data));
  QF_ASSIGN_OR_RETURN(const std::vector<Identity> identities, ReadIdentities(common.identities, options.connections));

  Outcomes opened, outcomes;
  QF_ASSIGN_OR_RETURN(const Meter opening, Meter::Begin(target));
  QF_ASSIGN_OR_RETURN(std::vector<Line> lines, OpenLines(target, identities, opened));
  QF_ASSIGN_OR_RETURN(boost::json::object opening_report, opening.Read());
  opening_report["handshakes"] = opened.Report();

  QF_ASSIGN_OR_RETURN(const Meter meter, Meter::Begin(target));
  const auto count = static_cast<uint64_t>(options.per_second * options.seconds);
  RunPaced(count, options.per_second, [&](uint64_t k, SteadyTime due) {
    outcomes.Begin();
    lines[k % lines.size()].CheckIn(
        NothingNew(), [&outcomes, due](const auto& answer, Line::Facts) { outcomes.End(due, answer.status()); });
    return true;
  });
  while (!outcomes.AwaitUnderWay(0, kLastAnswers)) {
  }
  QF_ASSIGN_OR_RETURN(boost::json::object report, meter.Read());
  report["connections"] = lines.size();
  report["per_second"] = static_cast<double>(count) / report["seconds"].as_double();
  report["check_ins"] = outcomes.Report();
  report["opening"] = opening_report;
  report["errors"] = outcomes.errors();
  return report;
}

Report Storm(const Common& common, const StormOptions& options) {
  QF_RETURN_IF_ERROR(MakeRoomForConnections(options.connections));
  QF_ASSIGN_OR_RETURN(const Target target, ReadTarget(common.data));
  QF_ASSIGN_OR_RETURN(const std::vector<Identity> identities, ReadIdentities(common.identities, options.connections));

  Outcomes outcomes;
  std::atomic<uint64_t> resumed{0};
  std::vector<Line> lines;
  lines.reserve(identities.size());
  QF_ASSIGN_OR_RETURN(const Meter meter, Meter::Begin(target));
  RunPaced(identities.size(), static_cast<double>(identities.size()) / options.seconds, [&](uint64_t k, SteadyTime due) {
    outcomes.Begin();
    lines.emplace_back(target.grpc, target.admin.ca_pem, identities[k])
        .CheckIn(NothingNew(), [&, due](const auto& answer, Line::Facts facts) {
          resumed += facts.resumed;
          outcomes.End(due, answer.status());
        });
    return true;
  });
  while (!outcomes.AwaitUnderWay(0, kLastAnswers)) {
  }
  QF_ASSIGN_OR_RETURN(boost::json::object report, meter.Read());
  report["connections"] = lines.size();
  report["per_second"] = static_cast<double>(lines.size()) / report["seconds"].as_double();
  report["full_handshakes"] = lines.size() - resumed;
  report["check_ins"] = outcomes.Report();
  report["errors"] = outcomes.errors() + resumed;
  return report;
}

}  // namespace quantfleet::loadgen
