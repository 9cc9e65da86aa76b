// The head of an HTTP message as it goes over the wire.
#pragma once

#include <boost/beast/http/message.hpp>
#include <boost/beast/http/write.hpp>

#include <sstream>
#include <string>
#include <utility>

namespace quantfleet::net {

// Start line, fields and the empty line. Written with the body by one plain write: Beast's own writers, a template instance
// for each kind of message, take longer to compile than the rest of a server.
template <bool is_request>
std::string HttpText(const boost::beast::http::header<is_request>& head) {
  std::ostringstream text;
  text << head;
  return std::move(text).str();
}

}  // namespace quantfleet::net
