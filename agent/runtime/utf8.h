// Where UTF-8 sequences begin and end in bytes that may be anything. Pure.
#pragma once

#include <cstddef>
#include <string_view>

namespace quantfleet::agent {

enum class Utf8 { kWhole, kUnfinished, kBad };

// What the front of `s`, which is not empty, is. `length` becomes the sequence's when whole, 1 when
// bad.
Utf8 ClassifyUtf8(std::string_view s, size_t& length);

// How many bytes at the front of `s` are whole sequences.
size_t WholeUtf8Length(std::string_view s);

}  // namespace quantfleet::agent
