// The identity of a file that is read beside a model.
#pragma once

#include "common/base/digest.h"
#include "common/base/file.h"

namespace quantfleet::pipeline {

// SHA-256 of all its bytes.
absl::StatusOr<Digest> DigestOf(const File& file);

}  // namespace quantfleet::pipeline
