// Checks a folder against a manifest, chunk by chunk. Thread-safe; needs memory for one chunk.
#pragma once

#include <functional>
#include <stop_token>

#include "common/base/file.h"
#include "pipeline/artifact/manifest.h"

namespace quantfleet::pipeline {

// OK when `folder` has every file of the manifest, with its size and the digest of each chunk.
// DATA_LOSS names the file, the chunk and the place of the first that differs, NOT_FOUND a missing
// file. Other files are ignored. `on_progress`, if set, gets the bytes verified so far.
absl::Status VerifyFolder(FileSystem& files, const fs::path& folder, const v1::Manifest& manifest,
                          const std::function<void(uint64_t)>& on_progress = nullptr,
                          std::stop_token stop = {});

// One chunk of one open file.
absl::Status VerifyChunk(const File& file, uint64_t offset, const v1::Chunk& chunk);

// Reads and parses a manifest file; errors name it.
absl::StatusOr<v1::Manifest> ReadManifest(FileSystem& files, const fs::path& path);

}  // namespace quantfleet::pipeline
