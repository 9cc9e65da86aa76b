// Combining marks as Unicode's normalization forms have them, where OpenVINO's own normalization
// goes by the longest sequences that it knows: as expressions and what takes a match's place. Pure.
#pragma once

#include <string>

namespace quantfleet::pipeline {

// A match is a run of marks and one behind it that comes before them in canonical order. Run as
// often as marks of one character may be out of their order.
std::string MarkOrderExpression();
inline constexpr const char* kMarkOrder = "$2$1";
inline constexpr int kMarkPasses = 4;

// In a text that is in order and composed as far as neighbors compose: a match is a character,
// marks with which it does not compose, and one behind them with which it does.
std::string DistantMarkExpression();
inline constexpr const char* kDistantMark = "$1$3$2";
inline constexpr int kDistantPasses = 3;

}  // namespace quantfleet::pipeline
