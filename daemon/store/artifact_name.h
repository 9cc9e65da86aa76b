// The resource name of an artifact: "artifacts/" and the digest of its manifest in hex. Pure.
#pragma once

#include <string>
#include <string_view>

#include "common/base/digest.h"

namespace quantfleet::daemon {

inline constexpr std::string_view kArtifactPrefix = "artifacts/";

inline std::string ArtifactNameOfHex(std::string_view hex) {
  return std::string(kArtifactPrefix).append(hex);
}

// `digest`: the raw bytes, as Digest and protobuf's `bytes` fields hold them.
inline std::string ArtifactName(ByteSpan digest) { return ArtifactNameOfHex(ToHex(digest)); }

// INVALID_ARGUMENT when it is not a whole name.
inline absl::StatusOr<Digest> DigestOfArtifact(std::string_view name) {
  if (!name.starts_with(kArtifactPrefix))
    return InvalidArgument("'{}' is not an artifact's name: it begins with {}", name,
                           kArtifactPrefix);
  return Digest::FromHexText(name.substr(kArtifactPrefix.size()));
}

}  // namespace quantfleet::daemon
