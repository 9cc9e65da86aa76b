// Versions of our own programs, as numbers that can be compared. Pure.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace quantfleet {

using Version = std::array<uint32_t, 3>;  // major, minor, patch; compares as versions do

// "1.2.3", each number of at most six digits; nullopt for anything else.
std::optional<Version> ParseVersion(std::string_view text);

}  // namespace quantfleet
