// Which program of the agent goes on: the installed one, which the service manager starts, or one
// that came as a release and stands in a slot. Asked at each start, and by an agent that was told
// to become another.
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
  std::optional<fs::path> program;  // what this process is to become; nullopt: it goes on as it is
  LaunchRecord record;              // to be durable before that
};
// Pure.
Launch Decide(LaunchRecord record, const LaunchFacts& facts);

// `record` without its program, which does not run: the one before it takes its place.
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
// environment, and then does not return. OK: this process is that program. An error says what stood
// in the way; this process may go on as well. Takes the state folder's lock meanwhile: where
// another agent works nothing is counted, and OK is the answer.
absl::Status BecomeCurrent(FileSystem& files, const fs::path& state, const std::string& version,
                           char** argv);

}  // namespace quantfleet::agent
