#include "tests/bench/loadgen/crowd.h"

#include "common/base/open_files.h"

namespace quantfleet::loadgen {
namespace {

constexpr size_t kMaxHandshakes = 64;
constexpr auto kPatience = std::chrono::seconds(30);
constexpr uint64_t kOwnFiles = 256;

}  // namespace

absl::Status MakeRoomForConnections(uint64_t connections) {
  const uint64_t wanted = connections + kOwnFiles;
  QF_ASSIGN_OR_RETURN(const uint64_t limit, RaiseOpenFiles(wanted));
  if (limit >= wanted) return absl::OkStatus();
  return FailedPrecondition(
      "{} connections need {} open files, the hard limit is {}: raise it (`ulimit -Hn {}` as root, "
      "or "
      "LimitNOFILE= of the "
      "service), for the daemon too",
      connections, wanted, limit, wanted);
}

v1::CheckInRequest NothingNew() {
  v1::CheckInRequest request;
  request.set_agent_version(QUANTFLEET_VERSION);
  return request;
}

absl::StatusOr<std::vector<Line>> OpenLines(const Target& target,
                                            const std::vector<Identity>& identities,
                                            Outcomes& outcomes) {
  std::vector<Line> lines;
  lines.reserve(identities.size());
  bool quick = true;
  for (const Identity& identity : identities) {
    quick = quick && outcomes.AwaitUnderWay(kMaxHandshakes, kPatience);
    if (!quick) break;
    const SteadyTime due = std::chrono::steady_clock::now();
    outcomes.Begin();
    lines.emplace_back(target.grpc, target.admin.ca_pem, identity)
        .CheckIn(NothingNew(), [&outcomes, due](const auto& answer, Line::Facts) {
          outcomes.End(due, answer.status());
        });
  }
  // Calls point to the lines and the outcomes: they end, by their deadlines, before either goes.
  while (!outcomes.AwaitUnderWay(0, kPatience)) {
  }
  if (!quick || outcomes.errors() > 0)
    return Unavailable("{} of {} connections could not be opened; first error: {}",
                       outcomes.errors(), identities.size(),
                       std::string(outcomes.Report()["first_error"].as_string()));
  return lines;
}

}  // namespace quantfleet::loadgen
