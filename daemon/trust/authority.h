// The daemon's keys under DATA/keys: its CA, the key that signs statements, the server's
// certificate, and the first operator's credential. Made at first start, each in one file that is
// whole or absent.
//
//   DATA/keys/ca.pem       CA certificates, each before its key, oldest first; an operator adds or
//                          drops one
//   DATA/keys/signing.pem  Ed25519 keys, oldest first; an operator adds or drops one
//   DATA/keys/roots.b64    every trust root so far, each a signed statement; each change of the two
//                          above adds one
//   DATA/keys/server.pem   the server's certificate and key; renewed
//   DATA/keys/admin.pem    the admin's certificate and key; renewed
//   DATA/keys/clock        the newest time at which the daemon was at work; see clock_guard.h
//   DATA/admin.json        {"server","ca_pem","certificate_pem","private_pem"}
//
// The folder has mode 0700, the files 0600; what others may read or change is refused
// (base/access.h). Thread-safe.
#pragma once

#include <algorithm>
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
#include "daemon/trust/clock_guard.h"
#include "quantfleet/v1/trust.pb.h"

namespace quantfleet::daemon {

class Authority {
 public:
  struct ServerCredential {
    std::string certificate_pem;
    std::string private_pem;
  };

  // Loads or makes the CA and the signing key. FAILED_PRECONDITION when one of the two is lost: a
  // new one in its place would cut off every device. It is also the
  // code for a clock that cannot be right (clock_guard.h): nothing is made then.
  // `reached_by`: names or addresses (without ports) that the server is reached by, beside
  // localhost, 127.0.0.1, ::1 and the machine's own name. `files` and `clock` must outlive the
  // Authority.
  static absl::StatusOr<std::unique_ptr<Authority>> Open(
      FileSystem& files, const Clock& clock, const fs::path& data,
      const std::vector<std::string>& reached_by);

  // While no daemon runs. Whatever is changed exists twice for a while, and only one change at a
  // time: two signing keys sign everything, or two CAs are trusted. FAILED_PRECONDITION while an
  // earlier change is not complete.
  static absl::Status RotateSigningKey(FileSystem& files, const fs::path& data);
  static absl::Status RotateCa(FileSystem& files, const Clock& clock, const fs::path& data);
  // Drops the older of what exists twice. FAILED_PRECONDITION: nothing does.
  static absl::Status RetireOldKeys(FileSystem& files, const fs::path& data);

  // For a daemon that does not run: this machine's clock is right. What to tell people.
  static absl::StatusOr<std::string> AcceptClock(FileSystem& files, const Clock& clock,
                                                 const fs::path& data);

  // FAILED_PRECONDITION: the clock contradicts what was signed before (clock_guard.h). While it
  // does, nothing is issued or signed. Call it from time to time, so that it knows when it was
  // right.
  absl::Status CheckClock() const { return guard_->Check(); }

  // All CAs whose certificates hold, oldest first.
  std::string authorities_pem() const { return keys_.authorities_pem(); }
  // That of the oldest CA, which issues the server's certificate until it is retired: every device
  // knows it. Tokens carry it.
  Digest ca_fingerprint() const { return keys_.authorities.front().fingerprint(); }
  // Its version increases with each change of keys or CAs.
  v1::TrustRoot trust_root() const { return keys_.trust_root(); }
  // The same, signed by all signing keys.
  const v1::Signed& signed_trust_root() const { return roots_.back(); }
  // The trust roots after `version`, oldest first, at most trust::kMaxTrustRoots: each is signed by
  // a key of the one before, so that a device that holds that one trusts it, even when all keys of
  // the last one are new to it.
  std::vector<v1::Signed> TrustRootsAfter(uint32_t version) const;
  bool changes_ca() const { return keys_.authorities.size() > 1; }
  // The version of the trust root that introduced the newest CA.
  uint32_t ca_version() const { return keys_.ca_version; }

  // The server's certificate; renewed first when less than a third of its life is left, it is of
  // a time to come, or its names are others. Call it at start and from time to time.
  absl::StatusOr<ServerCredential> ServerIdentity();

  // The first operator's certificate and key; a new key when the certificate nears its end.
  absl::StatusOr<ServerCredential> AdminIdentity();
  // DATA/admin.json for a daemon that operators reach at `server` ("host:port"); the key stays the
  // same until its certificate is about to expire. Returns the file's path.
  absl::StatusOr<fs::path> WriteAdminCredential(std::string_view server);

  // Issued by the newest CA that a device with the trust root `knows` can check: one that does not
  // know the newest gets its certificate from the oldest.
  absl::StatusOr<std::string> IssueDevice(std::string_view public_pem, std::string_view id,
                                          Duration lifetime, uint32_t knows = 0) const;
  // role: admin, publisher or viewer.
  absl::StatusOr<std::string> IssueOperator(std::string_view public_pem, std::string_view name,
                                            std::string_view role, Duration lifetime) const;
  absl::StatusOr<v1::Signed> SignStatement(std::string_view payload_type,
                                           std::string_view payload) const;
  // Adds the signatures that a statement of earlier keys lacks. Whether it lacked one.
  bool SignAnew(v1::Signed& statement) const { return keys_.SignAnew(statement); }

 private:
  // Each kind is in a file of its own, with the version of the trust root with which it last
  // changed. Each file is whole at any moment, and the greater version is that of the trust root.
  struct Keys {
    uint32_t ca_version = 1, signing_version = 1;
    std::vector<trust::CertificateAuthority> authorities;  // oldest first, at least one
    std::vector<trust::SigningKey> signing;                // oldest first, at least one
    uint32_t version() const { return std::max(ca_version, signing_version); }
    std::string authorities_pem() const;
    v1::TrustRoot trust_root() const;
    v1::Signed Sign(std::string_view payload_type, std::string_view payload) const;
    bool SignAnew(v1::Signed& statement) const;
  };
  static absl::StatusOr<Keys> LoadKeys(FileSystem& files, const fs::path& folder);
  static absl::Status SaveAuthorities(FileSystem& files, const fs::path& folder, const Keys& keys);
  static absl::Status SaveSigningKeys(FileSystem& files, const fs::path& folder, const Keys& keys);
  static absl::Status CreateMissingKeys(FileSystem& files, const Clock& clock,
                                        const fs::path& folder);
  // The keys in `data`; FAILED_PRECONDITION where something exists twice.
  static absl::StatusOr<Keys> LoadUnchanging(FileSystem& files, const fs::path& data);

  // All trust roots that were signed, oldest first; the last is that of `keys`, which is added when
  // missing. It must be there before a key is dropped, since that key signs its successors.
  static absl::StatusOr<std::vector<v1::Signed>> KeepRoots(FileSystem& files,
                                                           const fs::path& folder,
                                                           const Keys& keys);

  Authority(FileSystem& files, const Clock& clock, fs::path data, std::vector<std::string> names,
            std::unique_ptr<ClockGuard> guard, Keys keys, std::vector<v1::Signed> roots);
  // The identity kept in `file`, or a new one when there is none, it nears its end or has not
  // begun, its subject is another, or it is of another CA.
  absl::StatusOr<ServerCredential> Keep(const fs::path& file, const trust::CertificateAuthority& ca,
                                        const trust::Subject& subject, Duration lifetime);

  FileSystem& files_;
  const Clock& clock_;
  const fs::path data_;
  const std::vector<std::string> names_;
  const std::unique_ptr<ClockGuard> guard_;
  const Keys keys_;
  const std::vector<v1::Signed> roots_;
  std::mutex mutex_;  // one renewal at a time
};

}  // namespace quantfleet::daemon
