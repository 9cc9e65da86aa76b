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
  bool renews = false;  // `quantfleet login` made it: its certificates are short-lived
};

// --credential, else $QUANTFLEET_CREDENTIAL, else $XDG_CONFIG_HOME or ~/.config,
// quantfleet/credential.json.
fs::path CredentialPath(const std::string& option,
                        const std::function<const char*(const char*)>& environment);

// What the file holds, whether or not its certificate holds. Errors say what is wrong with the file
// and where to get a good one; FAILED_PRECONDITION if others may read it. `needs_server`: none
// comes from elsewhere.
absl::StatusOr<Credential> ReadCredential(FileSystem& files, const fs::path& path,
                                          bool needs_server = true);
// Whether the daemon would take it; `path` is for the message. UNAUTHENTICATED for a certificate
// that it would refuse: expired, or of another CA.
absl::Status CheckCredential(const Credential& credential, const fs::path& path, Time now);
// Both of the above, with `server_override`: --server, or empty.
absl::StatusOr<Credential> LoadCredential(FileSystem& files, const Clock& clock,
                                          const fs::path& path, const std::string& server_override);
// With its folder, for the owner alone.
absl::Status WriteCredential(FileSystem& files, const fs::path& path, const Credential& credential);
// Whether less than a third of its certificate's life is left, or none.
bool IsDueForRenewal(const Credential& credential, Time now);

// "HOST:PORT"; INVALID_ARGUMENT otherwise.
absl::Status CheckServerAddress(const std::string& server);

// A key that has no certificate yet: beside the credential that it will be part of.
struct PendingLogin {
  std::string server, private_pem;
};
fs::path PendingPath(const fs::path& credential);
absl::StatusOr<PendingLogin> ReadPendingLogin(FileSystem& files, const fs::path& path);
absl::Status WritePendingLogin(FileSystem& files, const fs::path& path,
                               const PendingLogin& pending);

}  // namespace quantfleet::cli
