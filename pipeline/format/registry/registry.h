// The formats that artifacts are made in, a row each. Pure.
#pragma once

#include <span>
#include <string_view>

#include "pipeline/format/target_format.h"

namespace quantfleet::pipeline {

// In the order in which people see them listed.
std::span<const TargetFormat* const> Formats();

// nullptr: there is no such format.
const TargetFormat* FindFormat(std::string_view name);

}  // namespace quantfleet::pipeline
