// Whether bytes are well-formed UTF-8 (RFC 3629): what protobuf strings and JSON demand of text
// from outside. Pure.
#pragma once

#include <string_view>

namespace quantfleet::pipeline {

bool IsUtf8(std::string_view text);

}  // namespace quantfleet::pipeline
