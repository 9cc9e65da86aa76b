// The daemon's keys under DATA/keys: its CA, the key that signs statements, the server's certificate, and the
// first operator's credential. Made at first start, each in one file that is whole or absent.
//
//   DATA/keys/ca.pem       CA certificate and key        never replaced
//   DATA/keys/signing.pem  Ed25519 keys, oldest first    one is added or dropped by an operator (RotateSigningKey)
//   DATA/keys/server.pem   server certificate and key    renewed
//   DATA/keys/admin.pem    admin certificate and key     renewed
//   DATA/admin.json        {"server","ca_pem","certificate_pem","private_pem"}
//
// The folder has mode 0700, the files 0600. Thread-safe.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/clock.h"
#include "common/base/digest.h"
#include "common/base/file.h"
#include "common/base/status.h"
#include "common/trust/certificate.h"
#include "common/trust/keys.h"
#include "quantfleet/v1/trust.pb.h"

namespace quantfleet::daemon {

class Authority {
 public:
  struct Identity {
    std::string certificate_pem;
    std::string private_pem;
  };

  // Loads or makes the CA and the signing key. FAILED_PRECONDITION when one of the two is lost: a new one in
  // its place would cut off every device. `listen_addresses`: names or addresses (without ports) that the
  // server is reached by, beside localhost, 127.0.0.1, ::1 and the machine's own name. `files` and `clock`
  // must outlive the Authority.
  static absl::StatusOr<std::unique_ptr<Authority>> Open(FileSystem& files, const Clock& clock,
                                                         const fs::path& data,
                                                         const std::vector<std::string>& listen_addresses);

  // For a daemon that does not run. A new signing key beside the present ones: from its next start statements bear the
  // signatures of all of them, so that a device with the old trust root and one with the new believe them alike.
  // FAILED_PRECONDITION where there is more than one already.
  static absl::Status RotateSigningKey(FileSystem& files, const fs::path& data);
  // Drops all but the newest.
  static absl::Status RetireSigningKeys(FileSystem& files, const fs::path& data);

  const std::string& ca_pem() const { return ca_.certificate_pem(); }
  Digest ca_fingerprint() const { return ca_.fingerprint(); }
  // Its version counts up with each change of the signing keys.
  v1::TrustRoot trust_root() const;

  // The server's certificate; renewed first when less than a third of its life is left or a name is missing.
  // Call it at start and from time to time.
  absl::StatusOr<Identity> ServerIdentity();

  // DATA/admin.json for a daemon that operators reach at `server` ("host:port"); the key stays the same until
  // its certificate nears its end. The file's path.
  absl::StatusOr<fs::path> WriteAdminCredential(std::string_view server);

  absl::StatusOr<std::string> IssueDevice(std::string_view public_pem, std::string_view id,
                                          Duration lifetime) const;
  // role: admin, publisher or viewer.
  absl::StatusOr<std::string> IssueOperator(std::string_view public_pem, std::string_view name,
                                            std::string_view role, Duration lifetime) const;
  v1::Signed SignStatement(std::string_view payload_type, std::string_view payload) const;
  // Adds the signatures that a statement of earlier keys lacks. Whether it lacked one.
  bool SignAnew(v1::Signed& statement) const;

 private:
  struct SigningKeys {
    uint32_t version = 1;  // of the trust root
    std::vector<trust::SigningKey> keys;  // oldest first, at least one
  };
  static absl::StatusOr<SigningKeys> LoadSigningKeys(FileSystem& files, const fs::path& file);
  static absl::Status SaveSigningKeys(FileSystem& files, const fs::path& file, const SigningKeys& keys);
  static absl::StatusOr<SigningKeys> LoadOrCreateSigningKeys(FileSystem& files, const fs::path& keys);

  Authority(FileSystem& files, const Clock& clock, fs::path data, std::vector<std::string> names,
            trust::CertificateAuthority ca, SigningKeys signing);
  // The identity kept in `file`, or a new one when there is none, it nears its end, or its subject is
  // another.
  absl::StatusOr<Identity> Keep(const fs::path& file, const trust::Subject& subject, Duration lifetime);

  FileSystem& files_;
  const Clock& clock_;
  const fs::path data_;
  const std::vector<std::string> names_;
  const trust::CertificateAuthority ca_;
  const SigningKeys signing_;
  std::mutex mutex_;  // one renewal at a time
};

}  // namespace quantfleet::daemon
