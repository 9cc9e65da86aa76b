// One name for the other end of a connection, whoever writes it. Pure.
#pragma once

#include <sys/socket.h>

#include <string>
#include <string_view>

namespace quantfleet::daemon {

// "127.0.0.1:4711", "::1:4711"; an IPv4 address that is written as an IPv6 one as the former.
// Empty: of neither family.
std::string PeerName(const sockaddr* address);
// The same of what gRPC says: "ipv4:127.0.0.1:4711", "ipv6:[::1]:4711", also with "%5B" and "%5D".
std::string PeerName(std::string_view uri);

}  // namespace quantfleet::daemon
