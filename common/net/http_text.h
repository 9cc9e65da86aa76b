// The head of an HTTP message as it goes over the wire.
#pragma once

#include <sstream>
#include <string>
#include <utility>

namespace quantfleet::net {

// Start line, fields and the empty line of a Beast http::header. Written with the body by one plain
// write: Beast's own writers, a template instance for each kind of message, take longer to compile
// than the rest of a server.
template <typename Header>
std::string HttpText(const Header& header) {
  std::ostringstream text;
  text << header;
  return std::move(text).str();
}

}  // namespace quantfleet::net
