// Operators: who they are, how they log in, and whether a certificate is that of one.
//
// An operator is a record with a role and, once it has logged in, a key, which is made where the
// operator works and never leaves it. Its certificates are short-lived, and whoever proves to hold
// the key gets the next one; the record decides with each call, so that revoking it ends everything
// at once. Thread-safe; collaborators must outlive it.
#pragma once

#include <atomic>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/clock.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "common/trust/certificate.h"
#include "common/trust/token.h"
#include "daemon/fleet/challenge.h"
#include "daemon/store/store.h"
#include "daemon/trust/authority.h"

namespace quantfleet::daemon {

class Operators {
 public:
  struct Collaborators {
    Store& store;
    const Authority& authority;
    ChallengeBook& challenges;
    Random& random;
    const Clock& clock;
  };
  explicit Operators(Collaborators with, Duration certificate_lifetime = std::chrono::hours(24))
      : with_(with), certificate_lifetime_(certificate_lifetime) {}

  // Before anybody is asked for: certificates that were issued before there were records keep
  // working, and get their record with their first call.
  absl::Status Open();
  // The record of the daemon's own credential (DATA/admin.json), by its certificate. Whether it may
  // be used: an operator may have revoked it.
  absl::StatusOr<bool> KeepOwn(std::string_view certificate_pem);
  // For a daemon that does not run: the daemon's own credential counts again, whoever revoked it.
  static absl::Status Restore(Store& store, const Clock& clock);

  // Whose certificate this is; the TLS handshake has verified it. PERMISSION_DENIED: of nobody, or
  // of one that was revoked, has reached its end or has another key. UNAUTHENTICATED: it has ended
  // while the connection lived.
  absl::StatusOr<v1::Operator> Authenticate(const trust::CertificateInfo& certificate);

  struct CreateRequest {
    std::string request_id = {}, name = {}, role = {};
    int64_t ttl_seconds = 0;       // 0: no end
    int64_t code_ttl_seconds = 0;  // 0: one hour
    std::string csr_pem = {};      // empty: it logs in with a code
    std::string by = {};           // the operator who creates it
  };
  struct Made {
    v1::Operator record;
    std::string code;  // shown only now
  };
  // ALREADY_EXISTS: one of that name that is not revoked.
  absl::StatusOr<Made> Create(const CreateRequest& request);
  // FAILED_PRECONDITION: the last admin who could create another.
  absl::StatusOr<v1::Operator> Revoke(const std::string& name, const std::string& by);
  struct RotateRequest {
    std::string name = {};
    int64_t code_ttl_seconds = 0;
    std::string csr_pem = {};
  };
  absl::StatusOr<Made> Rotate(const RotateRequest& request);
  // NOT_FOUND: there is none.
  static absl::StatusOr<v1::Operator> Get(const Transaction& tx, std::string_view name);

  struct LoginRequest {
    std::string code;  // empty: the key is an operator's already
    std::string csr_pem, nonce, proof;
  };
  struct LoggedIn {
    v1::Operator record;
    std::string certificate_pem;
  };
  // UNAUTHENTICATED: a stale challenge, another key's proof, a code that nobody has (any more), or
  // a key that is no operator's. A code is used up by the first key that proves itself with it.
  absl::StatusOr<LoggedIn> Login(const LoginRequest& request);
  // What the key signs.
  static std::string LoginMessage(std::string_view nonce, std::string_view csr_pem);

 private:
  int64_t Now() const { return ToUnixMillis(with_.clock.Now()); }
  // Gives the record a key or a code; returns the code.
  absl::StatusOr<std::string> Admit(const Transaction& tx, std::string_view csr_pem,
                                    int64_t code_ttl_seconds, OperatorStore::Kept& kept);
  absl::Status CheckAccess(const v1::Operator& record) const;
  absl::StatusOr<OperatorStore::Kept> UseCode(Transaction& tx, const trust::ClaimToken& code,
                                              const Digest& key);

  const Collaborators with_;
  const Duration certificate_lifetime_;
  std::atomic<int64_t> recorded_since_ms_{0};
};

}  // namespace quantfleet::daemon
