#include <atomic>
#include <boost/json/array.hpp>

#include "tests/bench/loadgen/crowd.h"
#include "tests/bench/loadgen/pace.h"
#include "tests/bench/loadgen/scenarios.h"

namespace quantfleet::loadgen {
namespace {

constexpr auto kLastAnswers = std::chrono::seconds(30);  // longer than a call's deadline

// The connections take turns.
void CheckInOver(std::vector<Line>& lines, double per_second, double seconds, Outcomes& outcomes) {
  RunPaced(static_cast<uint64_t>(per_second * seconds), per_second,
           [&](uint64_t k, SteadyTime due) {
             outcomes.Begin();
             lines[k % lines.size()].CheckIn(NothingNew(),
                                             [&outcomes, due](const auto& answer, Line::Facts) {
                                               outcomes.End(due, answer.status());
                                             });
             return true;
           });
  while (!outcomes.AwaitUnderWay(0, kLastAnswers)) {
  }
}

}  // namespace

Report CheckIns(const Common& common, const CheckInOptions& options) {
  QF_RETURN_IF_ERROR(MakeRoomForConnections(options.connections));
  QF_ASSIGN_OR_RETURN(const Target target, ReadTarget(common.data));
  QF_ASSIGN_OR_RETURN(const std::vector<Identity> identities,
                      ReadIdentities(common.identities, options.connections));

  Outcomes opened;
  QF_ASSIGN_OR_RETURN(const Meter opening, Meter::Begin(target));
  QF_ASSIGN_OR_RETURN(std::vector<Line> lines, OpenLines(target, identities, opened));
  QF_ASSIGN_OR_RETURN(boost::json::object opening_report, opening.Read());
  opening_report["handshakes"] = opened.Report();

  boost::json::array paces;
  uint64_t errors = 0;
  for (const double per_second : options.per_second) {
    QF_ASSIGN_OR_RETURN(const Meter meter, Meter::Begin(target));
    Outcomes outcomes;
    CheckInOver(lines, per_second, options.seconds, outcomes);
    QF_ASSIGN_OR_RETURN(boost::json::object pace, meter.Read());
    pace["wanted_per_second"] = per_second;
    pace["check_ins"] = outcomes.Report();
    errors += outcomes.errors();
    paces.push_back(std::move(pace));
  }
  return boost::json::object{{"connections", lines.size()},
                             {"opening", opening_report},
                             {"paces", paces},
                             {"errors", errors}};
}

Report Storm(const Common& common, const StormOptions& options) {
  QF_RETURN_IF_ERROR(MakeRoomForConnections(options.connections));
  QF_ASSIGN_OR_RETURN(const Target target, ReadTarget(common.data));
  QF_ASSIGN_OR_RETURN(const std::vector<Identity> identities,
                      ReadIdentities(common.identities, options.connections));

  Outcomes outcomes;
  std::atomic<uint64_t> resumed{0};
  std::vector<Line> lines;
  lines.reserve(identities.size());
  QF_ASSIGN_OR_RETURN(const Meter meter, Meter::Begin(target));
  RunPaced(identities.size(), static_cast<double>(identities.size()) / options.seconds,
           [&](uint64_t k, SteadyTime due) {
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
