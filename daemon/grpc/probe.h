// Whether gRPC's port answers whoever comes anew: by a connection like anybody's, through the
// kernel, the door and TLS, and the health service behind them. Thread-safe.
#pragma once

#include <mutex>
#include <optional>
#include <string>

#include "common/base/clock.h"
#include "common/base/status.h"
#include "common/net/channel.h"

namespace quantfleet::daemon {

class Probe {
 public:
  // `address`: HOST:PORT. `clock` must outlive it.
  Probe(std::string address, net::ServerTrust trust, const Clock& clock);

  // Blocks for as long as it takes, at most 2 s. An answer serves for 2 s; while one thread asks,
  // the others get the one before. UNAVAILABLE: it does not answer.
  absl::Status Check();

 private:
  std::optional<absl::Status> Last(bool fresh);
  absl::Status Ask() const;

  const std::string address_;
  const net::ServerTrust trust_;
  const Clock& clock_;
  std::mutex asking_;
  std::mutex mutex_;  // guards what follows
  std::optional<absl::Status> last_;
  Duration at_{};
};

}  // namespace quantfleet::daemon
