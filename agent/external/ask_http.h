// One question over HTTP to a server on this machine, with a limit of time. Thread-safe.
#pragma once

#include <stop_token>
#include <string>

#include "common/base/clock.h"
#include "common/base/status.h"

namespace quantfleet::agent {

struct HttpAnswer {
  int status = 0;
  std::string body;  // at most 1 MiB
};

// `address`: "127.0.0.1:port" or "unix:PATH". POST of `json`, GET where that is empty. UNAVAILABLE:
// nobody answers there, or not in HTTP. DEADLINE_EXCEEDED: not within `most`. CANCELLED: `stop`
// came first.
absl::StatusOr<HttpAnswer> AskHttp(const std::string& address, const std::string& path,
                                   const std::string& json, Duration most, std::stop_token stop);

}  // namespace quantfleet::agent
