// What an assignment may ask a device to start. The daemon checks it when a class is applied, and
// the device again when it is assigned: neither relies on the other. Pure.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "common/base/status.h"
#include "quantfleet/v1/trust.pb.h"

namespace quantfleet::trust {

// INVALID_ARGUMENT names the field and what is wrong with it: names, sizes, unknown placeholders,
// neither {port} nor {socket} or both, and variables that can bring code into a program: LD_PRELOAD
// and the like, and all that name a file, since the daemon chooses what an artifact's folder
// contains.
absl::Status CheckRuntime(const v1::Runtime& runtime);

// Whether an argument or a variable holds the placeholder, as in "{context}".
bool Names(const v1::Runtime& runtime, std::string_view placeholder);

// `text` with each {word} replaced by that word's value; a brace that is not part of a {word} of
// lower-case letters and _ stays as it is, so that JSON can be written. INVALID_ARGUMENT for a word
// without a value.
absl::StatusOr<std::string> FillIn(std::string_view text,
                                   const std::map<std::string, std::string, std::less<>>& values);

}  // namespace quantfleet::trust
