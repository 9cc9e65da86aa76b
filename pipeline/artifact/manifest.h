// Manifests: deterministic bytes, their digest, and the checks that an untrusted one has to pass.
// Pure.
#pragma once

#include <string>
#include <string_view>

#include "common/base/digest.h"
#include "common/base/status.h"
#include "quantfleet/v1/manifest.pb.h"

namespace quantfleet::pipeline {

// What a manifest is called beside the files that it lists; none of them may have this name.
inline constexpr std::string_view kManifestFile = "manifest.pb";

// The bytes whose SHA-256 names the artifact.
std::string SerializeManifest(const v1::Manifest& manifest);
Digest ManifestDigest(const v1::Manifest& manifest);

// Parses and validates: version, relative paths without "..", sorted and unique, chunk sizes in
// 1..4 MiB that add up to each file's size, digests of 32 bytes, and that re-serializing gives the
// same bytes (one artifact, one name).
absl::StatusOr<v1::Manifest> ParseManifest(std::string_view bytes);

// The sum of the files' sizes.
uint64_t ArtifactBytes(const v1::Manifest& manifest);

// How its codes were chosen: "feedback", "search", or "nearest", which manifests leave out.
std::string RoundingOf(const v1::Manifest& manifest);
// The change of the recipe that says so.
std::string RoundingChange(std::string_view rounding);
// Whether numbers moved between its weights before, and the change that says by which digest.
bool IsFolded(const v1::Manifest& manifest);
std::string FoldChange(const Digest& fold);

}  // namespace quantfleet::pipeline
