// One request over HTTP to a server on this machine, with a time limit. Thread-safe.
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

// POSTs `json`, or GETs where that is empty; `shown`: the address as errors name it. UNAVAILABLE:
// nothing answers there, or not in HTTP. DEADLINE_EXCEEDED: no answer within `most`. CANCELLED:
// `stop` came first.
absl::StatusOr<HttpAnswer> Ask(const ListenAddress& address, const std::string& shown,
                               const std::string& path, const std::string& json, Duration most,
                               std::stop_token stop);

}  // namespace quantfleet::http
