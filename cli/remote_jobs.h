// What commands that start a job share: staying with it.
#pragma once

#include <string>

#include "cli/remote_client.h"
#include "common/base/clock.h"

namespace quantfleet::cli {

// Until the job is done, with its progress on the terminal; a daemon that goes away is waited for,
// and then the watch goes on.
absl::StatusOr<v1::Job> WatchToTheEnd(OperatorClient& client, const std::string& name,
                                      const Clock& clock);

// Ends the command, saying why, where the job that is done has not succeeded.
void ExitOnFailedJob(const v1::Job& job);

}  // namespace quantfleet::cli
