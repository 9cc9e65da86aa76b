// How far the stages of a tokenizer may lengthen a text. Stages multiply, each what the one before
// it made: a file of a few lines could ask for more memory than there is. Pure.
#pragma once

#include <cstddef>

namespace quantfleet::text {

// The most bytes that stages may make of `bytes`. One of Unicode's forms makes 33 bytes of three,
// and spelling bytes with letters doubles that.
constexpr size_t MostBytes(size_t bytes) { return (size_t{1} << 20) + 32 * bytes; }

}  // namespace quantfleet::text
