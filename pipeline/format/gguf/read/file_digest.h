// The identity of a file, or of its beginning.
#pragma once

#include "common/base/digest.h"
#include "common/base/file.h"

namespace quantfleet::pipeline {

// SHA-256 of all its bytes, or of the first `size`.
absl::StatusOr<Digest> DigestOf(const File& file);
absl::StatusOr<Digest> DigestOf(const File& file, uint64_t size);

}  // namespace quantfleet::pipeline
