// Which program of the agent is to run: the installed one, which the service manager starts, or a
// release in a slot. Decided at each start, and when an agent is to become another release.
//
// A release that has not spoken to the daemon yet is started kMaxStarts times at most, and one that
// has kMaxProvenStarts times in a row without coming as far as its first check-in; then it is given
// up for the one before it, or the installed one. One whose bytes are damaged is not started at
// all: whoever runs instead fetches them again. Whether a process is a release's program is told by
// its own path alone, so one that was started here never starts itself again.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "agent/self/launch_record.h"
#include "agent/update/slots.h"
#include "common/base/version.h"

namespace quantfleet::agent {

inline constexpr uint32_t kMaxStarts = 3;
// Power cuts count too, so it is more of them.
inline constexpr uint32_t kMaxProvenStarts = 10;

struct SlotProgram {
  fs::path path;
  std::string version;
};

// What a decision rests on.
struct LaunchFacts {
  fs::path self;         // this process's program
  bool in_slot = false;  // which is a release's
  std::string version;   // of this process
  // Where the release stands, every byte checked now; nullopt: it is not here, or damaged.
  std::function<std::optional<SlotProgram>(const Digest&)> find;
};

struct Launch {
  std::optional<fs::path> program;  // what this process is to become; nullopt: it stays what it is
  LaunchRecord record;              // to be durable before that
};
// Pure.
Launch Decide(LaunchRecord record, const LaunchFacts& facts);

// `record` with its program given up, as it does not run: the previous one takes its place.
LaunchRecord GiveUp(LaunchRecord record);

// Whether the program at `b` is a newer version than `a`; versions that cannot be read are not
// newer.
bool IsNewer(std::string_view b, std::string_view a);

// The release in one of the slots, whose bytes are read back.
std::optional<SlotProgram> FindProgram(FileSystem& files, const Slots& slots,
                                       const Digest& manifest);

// This process's program, and whether it is one of the slots'.
fs::path SelfPath();
bool IsInSlot(const fs::path& self, const fs::path& self_folder);

// Becomes the program that is to run, with the same arguments (argv, ending in nullptr) and
// environment, and then does not return. OK: this process is that program. An error says what
// prevented it; this process may continue all the same. Holds the state folder's lock meanwhile: if
// another agent holds it, nothing is counted and the result is OK.
absl::Status BecomeCurrent(FileSystem& files, const fs::path& state, const std::string& version,
                           char** argv);

}  // namespace quantfleet::agent
