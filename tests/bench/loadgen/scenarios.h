// What the generator can do to a daemon. Each scenario returns its report; "errors" in it is what
// went wrong.
#pragma once

#include <boost/json/object.hpp>
#include <vector>

#include "tests/bench/loadgen/target.h"

namespace quantfleet::loadgen {

using Report = absl::StatusOr<boost::json::object>;

struct Common {
  fs::path data;        // the daemon's
  fs::path identities;  // file
};

struct EnrollOptions {
  uint64_t devices = 1000;
  int threads = 4;  // as many calls under way
};
// New devices with keys of their own, all with one token; identities are added to the file.
Report Enroll(const Common& common, const EnrollOptions& options);

struct CheckInOptions {
  uint64_t connections = 1000;
  std::vector<double> per_second;  // one pace after the other
  double seconds = 10;             // each
};
// Opens so many connections, one per device, and then checks in over them at those paces.
Report CheckIns(const Common& common, const CheckInOptions& options);

struct StormOptions {
  uint64_t connections = 1000;
  double seconds = 10;
};
// New connections spread over that time, each followed by a check-in, all of them kept.
Report Storm(const Common& common, const StormOptions& options);

struct RolloutOptions {
  std::string model;
  fs::path plan;  // a plan file, as `quantfleet rollout create --plan` takes it
  uint64_t devices = 1000;
  double interval_seconds =
      10;  // each device checks in so often, and at once when it has something to tell
  double failures = 0.03;  // share of devices that report FAILED
  double pulls =
      0.01;  // share of devices that fetch the artifact's blobs; the others its manifest alone
  uint64_t seed = 1;
  double timeout_seconds = 600;
};
// A rollout over those devices; the generator is the operator too: it approves each gate, and when
// the rollout pauses it waits until nobody is under way, counts, and resumes.
Report RollOut(const Common& common, const RolloutOptions& options);

}  // namespace quantfleet::loadgen
