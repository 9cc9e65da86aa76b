// One question over HTTP to a server on this machine, with a limit of time. Thread-safe.
#pragma once

#include <stop_token>
#include <string>

#include "common/base/clock.h"
#include "common/base/status.h"
#include "common/http/listen_socket.h"

namespace quantfleet::http {

struct HttpAnswer {
  int status = 0;
  std::string body;  // at most 1 MiB
};

// POST of `json`, GET where that is empty; `shown`: the address as errors name it. UNAVAILABLE:
// nobody answers there, or not in HTTP. DEADLINE_EXCEEDED: not within `most`. CANCELLED: `stop`
// came first.
absl::StatusOr<HttpAnswer> Ask(const ListenAddress& address, const std::string& shown,
                               const std::string& path, const std::string& json, Duration most,
                               std::stop_token stop);

}  // namespace quantfleet::http
