// Settings out of a configuration file. Apart from the table, because devices have none and link no
// TOML.
#pragma once

#include <string_view>

#include "common/config/settings.h"

namespace quantfleet::config {

// Puts what a TOML document says. Strict: INVALID_ARGUMENT with line and key for the first value
// that is of the wrong type or out of range, or the first key that is no setting's; then nothing
// has been put. A key wins over its earlier spellings.
absl::Status ReadToml(const Settings& settings, std::string_view toml);

}  // namespace quantfleet::config
