// What commands that start a job share: waiting for it.
#pragma once

#include <string>

#include "cli/remote_client.h"
#include "common/base/clock.h"

namespace quantfleet::cli {

// Waits until the job is done and shows its progress on the terminal; if the daemon goes away,
// waits for it and continues.
absl::StatusOr<v1::Job> WatchToTheEnd(OperatorClient& client, const std::string& name,
                                      const Clock& clock);

// Ends the command and says why if the finished job did not succeed.
void ExitOnFailedJob(const v1::Job& job);

}  // namespace quantfleet::cli
