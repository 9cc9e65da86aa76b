// Who may reach the completion endpoint: this machine alone.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/base/status.h"
#include "common/http/listen_socket.h"

namespace quantfleet::agent {

// "127.0.0.1:8080", "[::1]:0", "localhost:0" (127.0.0.1), "unix:/run/quantfleet/models.sock".
// INVALID_ARGUMENT when it is not a loopback address, or the path is not one that a socket can
// have.
absl::StatusOr<http::ListenAddress> ParseListenAddress(const std::string& text);
// Sockets that listen there; errors of both. One, but for "localhost:PORT": clients turn that name
// into 127.0.0.1 or ::1 as they please, so both listen on one port where the machine has both. The
// first is 127.0.0.1's.
absl::StatusOr<std::vector<http::ListenSocket>> OpenListenSockets(const std::string& address);

// Of an endpoint that listens: "http://127.0.0.1:8080/v1"; a unix socket has none and stays as it
// is.
std::string EndpointUrl(const std::string& endpoint);

// Whether a request's Host header names this machine. A page from elsewhere whose name was bent to
// 127.0.0.1 (DNS rebinding) says its own name there.
bool IsLocalHost(std::string_view host);
// Whether a request's Origin header is of a page of this machine; without one no page has asked.
bool IsLocalOrigin(std::string_view origin);

}  // namespace quantfleet::agent
