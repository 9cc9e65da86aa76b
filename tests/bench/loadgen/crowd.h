// Many devices' lines, opened at a bounded pace: a line is open once its first check-in was
// answered.
#pragma once

#include <vector>

#include "tests/bench/loadgen/line.h"
#include "tests/bench/loadgen/outcomes.h"
#include "tests/bench/loadgen/target.h"

namespace quantfleet::loadgen {

// All of them, with at most a few handshakes under way at a time; the first error of any.
// `outcomes`: of those first check-ins.
absl::StatusOr<std::vector<Line>> OpenLines(const Target& target,
                                            const std::vector<Identity>& identities,
                                            Outcomes& outcomes);

// Room for so many connections beside the process's own files. FAILED_PRECONDITION says how to
// raise a limit that is lower.
absl::Status MakeRoomForConnections(uint64_t connections);

v1::CheckInRequest
NothingNew();  // what a device says that has no model and whose facts are as before

}  // namespace quantfleet::loadgen
