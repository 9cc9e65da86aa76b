// What a model and a pushed file may be called: both become parts of paths on the daemon's disk.
// Pure.
#pragma once

#include <string_view>
#include <vector>

#include "common/base/status.h"
#include "daemon/store/store.h"

namespace quantfleet::daemon {

// 1 to 63 letters, digits, ".", "_" and "-"; begins with a letter or digit.
absl::Status CheckModelName(std::string_view name);

// Relative, in normal form, short, no "..", no component that starts with a dot.
absl::Status CheckPushedPath(std::string_view path);

// Each path is valid, none occurs twice or is a folder of another, and the sizes add up to at most
// `max_bytes`.
absl::Status CheckPushedFiles(const std::vector<PushedFile>& files, size_t max_files,
                              uint64_t max_bytes);

}  // namespace quantfleet::daemon
