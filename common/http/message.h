// What HTTP carries, as values: requests and answers without sockets. Pure.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/status.h"

namespace quantfleet::http {

using Fields = std::vector<std::pair<std::string, std::string>>;  // in the order of the wire

// Untrusted, but well-formed: no field contains a line break.
struct Request {
  std::string method = {};  // "GET"
  std::string target = {};  // as it was sent: "/v1/models?x=1"
  unsigned version = 11;    // 10 for HTTP/1.0
  bool keep_alive = false;
  Fields fields = {};
  std::string body = {};
  // The client's certificate, PEM, verified; null where it presented none.
  std::shared_ptr<const std::string> peer_certificate = nullptr;

  // The first field of that name, whatever its case; empty where there is none.
  std::string_view Field(std::string_view name) const;
  // The target up to its query.
  std::string_view path() const;
};

// A target in absolute form ("http://127.0.0.1:8080/v1/models") as the path that it means; the
// host in it takes the place of the field Host (RFC 9112, 3.2.2). Other targets stay.
void ToOriginForm(Request& request);

// The next bytes of a body, as many as the span has. An error cuts the connection: it is too late
// for an error's status.
using BodySource = std::function<absl::Status(MutableBytes)>;

// An answer whose length is known. The server adds Content-Length and Connection, and leaves out
// the body when the request was HEAD.
struct Response {
  int status = 200;
  Fields fields = {};
  std::string body = {};
  BodySource source = nullptr;  // in place of `body`: `source_size` bytes, read piece by piece
  uint64_t source_size = 0;
};

// A request as it goes over the wire, HTTP/1.1. `fields` as they are to stand, with Host.
std::string RequestText(std::string_view method, std::string_view target, const Fields& fields,
                        std::string_view body);
// An answer's status line and headers; `version` as in Request.
std::string ResponseHead(int status, unsigned version, const Fields& fields);
// Bytes as one chunk of a chunked body, which ends with kLastChunk.
std::string Chunk(std::string_view bytes);
inline constexpr std::string_view kLastChunk = "0\r\n\r\n";

}  // namespace quantfleet::http
