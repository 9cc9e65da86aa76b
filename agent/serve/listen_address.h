// Where the completion endpoint may listen: only this machine may reach it.
#pragma once

#include <string>
#include <string_view>

#include "common/base/status.h"
#include "common/http/listen_socket.h"

namespace quantfleet::agent {

// "127.0.0.1:8080", "[::1]:0", "localhost:0", "unix:/run/quantfleet/models.sock". INVALID_ARGUMENT
// when it is not a loopback address, or the path is not one that a socket can have.
absl::StatusOr<http::ListenAddress> ParseListenAddress(const std::string& text);
// A socket that listens there; errors as above and as http::OpenListenSocket.
absl::StatusOr<http::ListenSocket> OpenListenSocket(const std::string& address);

// The base URL of an endpoint: "http://127.0.0.1:8080/v1"; a unix socket has none and stays as it
// is.
std::string EndpointUrl(const std::string& endpoint);

// Whether a request's Host header names this machine. A foreign page whose name was made to resolve
// to 127.0.0.1 (DNS rebinding) sends its own name.
bool IsLocalHost(std::string_view host);

}  // namespace quantfleet::agent
