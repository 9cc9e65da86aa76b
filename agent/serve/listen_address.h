// Who may reach the completion endpoint: this machine alone.
#pragma once

#include <string>
#include <string_view>

#include "common/base/status.h"
#include "common/http/listen_socket.h"

namespace quantfleet::agent {

// "127.0.0.1:8080", "[::1]:0", "localhost:0", "unix:/run/quantfleet/models.sock". INVALID_ARGUMENT
// when it is no loopback address, or the path is none that a socket can have.
absl::StatusOr<http::ListenAddress> ParseListenAddress(const std::string& text);
// A socket that listens there; errors of both.
absl::StatusOr<http::ListenSocket> OpenListenSocket(const std::string& address);

// Of an endpoint that listens: "http://127.0.0.1:8080/v1"; a unix socket has none and stays as it
// is.
std::string EndpointUrl(const std::string& endpoint);

// Whether a request's Host header names this machine. A page from elsewhere whose name was bent to
// 127.0.0.1 (DNS rebinding) says its own name there.
bool IsLocalHost(std::string_view host);

}  // namespace quantfleet::agent
