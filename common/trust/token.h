// Enrollment tokens: qf1.<id>.<secret>.<CA fingerprint>, the last two in base64url. The fingerprint
// lets a device authenticate the daemon at first contact; the daemon stores only the secret's hash.
#pragma once

#include <string>
#include <string_view>

#include "common/base/digest.h"
#include "common/base/random.h"
#include "common/base/status.h"

namespace quantfleet::trust {

struct ClaimToken {
  std::string id;
  std::string secret;  // raw
  Digest ca_fingerprint;

  static ClaimToken Make(Random& random, const Digest& ca_fingerprint);
  static absl::StatusOr<ClaimToken> Parse(
      std::string_view text);  // the error never repeats the secret
  std::string ToString() const;
  Digest SecretHash() const;
};

}  // namespace quantfleet::trust
