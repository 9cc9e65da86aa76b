// The operator's credential: where it is and what it holds. Pure except for reading the file.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/status.h"

namespace quantfleet::cli {

struct Credential {
  std::string server;  // HOST:PORT
  std::string ca_pem, certificate_pem, private_pem;
};

// --credential, else $QUANTFLEET_CREDENTIAL, else $XDG_CONFIG_HOME or ~/.config,
// quantfleet/credential.json.
fs::path CredentialPath(const std::string& option,
                        const std::function<const char*(const char*)>& environment);

// `server_override`: --server, or empty. Errors say what is wrong with the file and where to get a
// good one; UNAUTHENTICATED for a certificate that the daemon would refuse: expired, or of another
// CA; FAILED_PRECONDITION if others may read the file.
absl::StatusOr<Credential> LoadCredential(FileSystem& files, const Clock& clock,
                                          const fs::path& path, const std::string& server_override);

}  // namespace quantfleet::cli
