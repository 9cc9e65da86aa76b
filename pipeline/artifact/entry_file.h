// What devices have to know about the formats of artifacts, without the code that makes them. Pure.
#pragma once

#include <string>
#include <string_view>

#include "quantfleet/v1/manifest.pb.h"

namespace quantfleet::pipeline {

// Whether the embedded engine runs the format; artifacts of other formats need a runtime of their
// own.
inline constexpr std::string_view kEngineFormat = "gguf";

// The path of the one file that a runtime is pointed to; empty: to the folder, or the artifact
// lacks the file.
std::string EntryFile(const v1::Manifest& manifest);

}  // namespace quantfleet::pipeline
