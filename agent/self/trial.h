// A new program of the agent has to show that it works before it takes over.
#pragma once

#include <stop_token>
#include <string>

#include "agent/identity/device_api.h"
#include "agent/update/sleeper.h"
#include "agent/update/verdict.h"
#include "common/base/clock.h"
#include "common/base/digest.h"
#include "common/base/file.h"

namespace quantfleet::agent {

inline constexpr Duration kTrialTime = std::chrono::seconds(60);      // then it is killed
inline constexpr Duration kTrialPatience = std::chrono::seconds(45);  // with a silent daemon

struct TrialWorld {
  FileSystem& files;
  const Clock& clock;
  Random& random;
  Sleeper& sleeper;
  Connector connect;
};

// In the new program: reads what the agent keeps, writes nothing, takes no lock, asks the daemon
// for the release `manifest` with the device's certificate, and checks that the release is this
// program's `version`.
absl::Status PassTrial(const TrialWorld& world, const fs::path& state, const Digest& manifest,
                       const std::string& version);

// In the running agent: starts `program` so that it passes its trial. kHealthFailed, with its
// last words, where it does anything but end well and say `version`. kInterrupted: `stop` came
// first.
Verdict RunTrial(const fs::path& program, const fs::path& state, const Digest& manifest,
                 const std::string& version, std::stop_token stop);

}  // namespace quantfleet::agent
