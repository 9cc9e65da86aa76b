// What somebody may have meant by a name that is not known. Pure.
#pragma once

#include <span>
#include <string_view>

namespace quantfleet {

// The known name that the fewest letters have to be inserted, left out or replaced for, whatever
// their case; the first of equals. Empty where none is known. Of the name's first 256 bytes.
std::string_view NearestName(std::string_view name, std::span<const std::string_view> known);

// The same, but empty where the nearest has less than half of its letters in common with the name:
// for hints about words that somebody typed.
std::string_view LikelyName(std::string_view name, std::span<const std::string_view> known);

}  // namespace quantfleet
