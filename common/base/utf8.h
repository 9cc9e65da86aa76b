// Where UTF-8 sequences begin and end in bytes that may be anything. Pure.
#pragma once

#include <cstddef>
#include <string_view>

namespace quantfleet {

enum class Utf8 { kWhole, kUnfinished, kBad };

// What `s`, which is not empty, begins with. `length` becomes that of a whole sequence, or 1 for a
// bad byte.
Utf8 ClassifyUtf8(std::string_view s, size_t& length);

// How many bytes at the front of `s` are whole sequences.
size_t WholeUtf8Length(std::string_view s);

// Whether bytes are well-formed UTF-8 (RFC 3629): what protobuf strings and JSON demand of text
// from outside.
inline bool IsUtf8(std::string_view s) { return WholeUtf8Length(s) == s.size(); }

}  // namespace quantfleet
