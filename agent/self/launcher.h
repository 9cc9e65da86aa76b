// Which program of the agent is to run: the installed one, which the service manager starts, or a
// release in a slot. Decided at each start, and when an agent is to become another release.
//
// A release that has not spoken to the daemon yet is started kMaxStarts times at most; then it is
// given up for the one before it, or the installed one. Only its own path shows whether a process
// is a release's program, so one that was started here never starts itself again.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "agent/self/launch_record.h"
#include "agent/update/slots.h"
#include "common/base/version.h"

namespace quantfleet::agent {

inline constexpr uint32_t kMaxStarts = 3;

struct SlotProgram {
  fs::path path;
  std::string version;
};

// What a decision rests on.
struct LaunchFacts {
  fs::path self;         // this process's program
  bool in_slot = false;  // which is a release's
  std::string version;   // of this process
  // The folder of the release, with every byte checked; nullopt: it is not here any more.
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

// The verified release in one of the slots.
std::optional<SlotProgram> FindProgram(const Slots& slots, const Digest& manifest);

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
