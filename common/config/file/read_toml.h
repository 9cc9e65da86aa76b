// Settings from a configuration file. Kept apart from the table because devices have no such file
// and do not link TOML.
#pragma once

#include <string_view>

#include "common/config/settings.h"

namespace quantfleet::config {

// Puts what a TOML document says. Strict: INVALID_ARGUMENT, with line and key, for the first value
// that has the wrong type or is out of range, or the first key that belongs to no setting; nothing
// has been put then. A key wins over its earlier spellings.
absl::Status ReadToml(const Settings& settings, std::string_view toml);

}  // namespace quantfleet::config
