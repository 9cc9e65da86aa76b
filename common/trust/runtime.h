// What an assignment may ask a device to start. The daemon checks it when a class is applied, the
// device again when it is told: neither believes the other. Pure.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "common/base/status.h"
#include "quantfleet/v1/trust.pb.h"

namespace quantfleet::trust {

// INVALID_ARGUMENT names the field and what is wrong with it: names, sizes, placeholders that do
// not exist, not one of {port} and {socket}, and variables through which code gets into a program:
// LD_PRELOAD and its like, and all that name a file, since what lies in an artifact's folder is the
// daemon's choice.
absl::Status CheckRuntime(const v1::Runtime& runtime);

// Whether an argument or a variable holds the placeholder, as in "{context}".
bool Names(const v1::Runtime& runtime, std::string_view placeholder);

// `text` with each {word} replaced by what stands under that word; a brace that is not part of a
// {word} of small letters and _ stays as it is, so that JSON can be written. INVALID_ARGUMENT for a
// word that is not there.
absl::StatusOr<std::string> FillIn(std::string_view text,
                                   const std::map<std::string, std::string, std::less<>>& values);

}  // namespace quantfleet::trust
