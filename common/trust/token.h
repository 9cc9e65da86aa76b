// Secrets that are handed to whoever is to join: PREFIX.<id>.<secret>.<CA fingerprint>, the last
// two in base64url. The fingerprint lets its bearer authenticate the daemon at first contact; the
// daemon stores only the secret's hash. Devices enroll with tokens (qf1), operators log in with
// codes (qfl1).
#pragma once

#include <string>
#include <string_view>

#include "common/base/digest.h"
#include "common/base/random.h"
#include "common/base/status.h"

namespace quantfleet::trust {

struct ClaimToken {
  enum class For { kEnrollment, kLogin };

  std::string id;
  std::string secret;  // raw
  Digest ca_fingerprint;

  For purpose = For::kEnrollment;

  static ClaimToken Make(Random& random, const Digest& ca_fingerprint,
                         For purpose = For::kEnrollment);
  // The error never repeats the secret.
  static absl::StatusOr<ClaimToken> Parse(std::string_view text, For purpose = For::kEnrollment);
  std::string ToString() const;
  Digest SecretHash() const;
};

}  // namespace quantfleet::trust
