// What `device allow` reads: ids, digests of public keys, key files, lists. Pure, but for reading
// the file that is named.
#pragma once

#include <string_view>
#include <vector>

#include "common/base/file.h"
#include "common/base/status.h"
#include "quantfleet/v1/types.pb.h"

namespace quantfleet::cli {

// A device id ("d-" and 16 hex digits) or the SHA-256 of a public key (64 hex digits).
absl::StatusOr<v1::AllowedDevice> ParseAllowed(std::string_view text);
// One per line, followed by labels (key=value), separated by blanks; "#" begins a comment. Errors
// name the line.
absl::StatusOr<std::vector<v1::AllowedDevice>> ParseAllowList(std::string_view text);
// A public key or a certificate in PEM.
absl::StatusOr<v1::AllowedDevice> ReadAllowedKey(FileSystem& files, const fs::path& pem);

}  // namespace quantfleet::cli
