// A table of texts and what takes their places, as SentencePiece's normalizer reads it: a double
// array (Darts) of the texts, and the replacements behind it. Pure.
#pragma once

#include <map>
#include <string>

#include "common/base/status.h"

namespace quantfleet::pipeline {

// Of the texts that a place begins with the longest counts. Texts are not empty, and neither they
// nor replacements have a NUL. UNIMPLEMENTED for more than the array's units can address.
absl::StatusOr<std::string> BuildCharacterMap(const std::map<std::string, std::string>& entries);

}  // namespace quantfleet::pipeline
