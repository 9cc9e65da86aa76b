// Properties of characters by the names that Oniguruma has for them, as members of PCRE2's classes,
// without brackets. Pure.
#pragma once

#include <string>
#include <string_view>

namespace quantfleet::text {

inline constexpr std::string_view kSpaceMembers = R"(\t-\r\x{85}\p{Z})";
inline constexpr std::string_view kWordMembers = R"(\p{Alphabetic}\p{M}\p{Nd}\p{Pc})";

// A name as Oniguruma compares it: case, spaces, '_' and '-' do not count.
std::string FoldedProperty(std::string_view name);

// What stands for a property whose name PCRE2 does not have, or reads otherwise; empty: PCRE2's own
// will do.
std::string_view MembersOfProperty(std::string_view folded);

}  // namespace quantfleet::text
