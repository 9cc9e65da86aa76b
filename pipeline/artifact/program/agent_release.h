// Releases of the agent itself: artifacts like every other one, of a model with a reserved name.
// Pure.
//
// target.format is "agent", target.recipe the architecture; the one file is the program;
// source.digest is that file's SHA-256, and source.architecture says program and version:
// "quantfleet-agent 0.2.0".
#pragma once

#include <string>
#include <string_view>

#include "common/base/status.h"
#include "common/base/version.h"
#include "pipeline/artifact/kind.h"
#include "quantfleet/v1/manifest.pb.h"

namespace quantfleet::pipeline {

inline constexpr std::string_view kAgentFile = "quantfleet-agent";

inline std::string AgentSource(std::string_view version) {
  return fmt::format("{} {}", kAgentFile, version);
}

// INVALID_ARGUMENT: the manifest is not that of a release of the agent.
inline absl::StatusOr<std::string> AgentVersionOf(const v1::Manifest& manifest) {
  const std::string& source = manifest.source().architecture();
  const size_t blank = source.find(' ');
  if (KindOf(manifest) == ArtifactKind::kProgram && manifest.files_size() == 1 &&
      manifest.files(0).path() == kAgentFile && source.substr(0, blank) == kAgentFile &&
      blank != std::string::npos && ParseVersion(source.substr(blank + 1)))
    return source.substr(blank + 1);
  return InvalidArgument(
      "the artifact is not a release of {}: publish one with `quantfleet agent publish`",
      kAgentFile);
}

}  // namespace quantfleet::pipeline
