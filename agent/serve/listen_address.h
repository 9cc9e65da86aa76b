// Where the completion endpoint may listen: only this machine may reach it.
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
// Sockets that listen there; errors as above and as http::OpenListenSocket. There is one, except
// for "localhost:PORT": clients resolve that name to 127.0.0.1 or ::1 as they please, so both
// listen on one port if the machine has both. The first is that of 127.0.0.1.
absl::StatusOr<std::vector<http::ListenSocket>> OpenListenSockets(const std::string& address);

// The base URL of an endpoint: "http://127.0.0.1:8080/v1"; a unix socket has none and stays as it
// is.
std::string EndpointUrl(const std::string& endpoint);

// Whether a request's Host header names this machine. A foreign page whose name was made to resolve
// to 127.0.0.1 (DNS rebinding) sends its own name.
bool IsLocalHost(std::string_view host);
// Whether a request's Origin header is that of a page on this machine; requests without one do not
// come from a page.
bool IsLocalOrigin(std::string_view origin);

}  // namespace quantfleet::agent
