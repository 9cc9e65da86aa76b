// One request over HTTP to a server on this machine, at an address as configuration spells it.
// Thread-safe.
#pragma once

#include "common/http/ask.h"

namespace quantfleet::agent {

using http::HttpAnswer;

// http::Ask to `address`: "127.0.0.1:port" or "unix:PATH", else INVALID_ARGUMENT.
absl::StatusOr<HttpAnswer> AskHttp(const std::string& address, const std::string& path,
                                   const std::string& json, Duration most, std::stop_token stop);

}  // namespace quantfleet::agent
