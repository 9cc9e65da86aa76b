// What a file of a downloaded model really is. Downloads leave other things under the right name: a
// Git LFS pointer, the page of a login or an error, a link into a cache that was cleared. Each has
// a remedy of its own, and no parser would name it.
#pragma once

#include "common/base/file.h"
#include "common/base/status.h"

namespace quantfleet::pipeline {

enum class Expected {
  kBinary,  // weights, tokenizer.model
  kText,    // JSON, templates
  kProse,   // licenses and model cards: HTML is not unusual, nor is nothing at all
};

// The file's size in bytes when it may be what its name says. NOT_FOUND: a dangling link.
// INVALID_ARGUMENT: it is something else. DATA_LOSS: it is empty. All say how to get the file.
absl::StatusOr<uint64_t> CheckNature(FileSystem& files, const fs::path& path, Expected expected);

}  // namespace quantfleet::pipeline
