// What models are measured on unless the configuration names something else.
#pragma once

#include <span>
#include <string_view>

namespace quantfleet::daemon {

std::string_view ShippedEvaluationText();  // plain English, some 400 words
std::span<const std::string_view> ShippedGoldenPrompts();

}  // namespace quantfleet::daemon
