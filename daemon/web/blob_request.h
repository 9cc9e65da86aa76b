// What a request for a blob asks for: target and Range, read from untrusted text. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "common/base/digest.h"
#include "pipeline/artifact/encoding.h"

namespace quantfleet::daemon {

struct BlobName {
  Digest digest;
  pipeline::Encoding encoding;
};
// Accepts "/v1/blobs/<64 lower-case hex digits>.<encoding>" and nothing else.
std::optional<BlobName> ParseBlobTarget(std::string_view target);

struct ByteRange {
  enum class Kind {
    kWhole,  // no range, or one that a server ignores (RFC 9110 section 14.2): malformed, several,
             // other units
    kPart,   // [first, first + length)
    kUnsatisfiable,  // 416
  } kind = Kind::kWhole;
  uint64_t first = 0, length = 0;
};
// `header`: the value of Range, empty when there is none.
ByteRange ParseRange(std::string_view header, uint64_t size);

// Whether If-None-Match (a list of entity tags, or *) names this one. `etag` has its quotes.
bool MatchesEtag(std::string_view header, std::string_view etag);

}  // namespace quantfleet::daemon
