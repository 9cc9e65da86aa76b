// The daemon under load, as its data folder on this machine tells: where it listens, an operator's
// credential, and what the kernel accounts to its process.
#pragma once

#include <sys/types.h>

#include <boost/json/object.hpp>
#include <string>

#include "cli/remote_credential.h"
#include "common/base/file.h"
#include "common/base/status.h"

namespace quantfleet::loadgen {

struct Target {
  fs::path data;
  std::string grpc, http;  // HOST:PORT
  pid_t pid = 0;
  cli::Credential admin;
};

// DATA/endpoints.json and DATA/admin.json of a daemon that runs. FAILED_PRECONDITION when none
// does.
absl::StatusOr<Target> ReadTarget(const fs::path& data);

struct Usage {
  double cpu_seconds = 0;  // user and system, of all threads so far
  uint64_t resident_bytes = 0;
};
absl::StatusOr<Usage> UsageOf(pid_t pid);

// What a scenario costs the daemon and the generator: CPU seconds since it was made, memory before
// and now.
class Meter {
 public:
  static absl::StatusOr<Meter> Begin(const Target& target);
  // {"seconds", "daemon": {"cpu_seconds", "cores", "resident_mib", "resident_mib_before"},
  // "generator": the same,
  //  "database_mib"}
  absl::StatusOr<boost::json::object> Read() const;

 private:
  Target target_;
  Usage daemon_, generator_;
  double began_ = 0;  // monotonic seconds
};

}  // namespace quantfleet::loadgen
