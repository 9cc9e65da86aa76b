// Which tokens admit a device: validity, uses, rate. The store keeps tokens and their uses; the
// rules are here.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "common/base/digest.h"
#include "common/base/status.h"
#include "daemon/store/transaction.h"
#include "quantfleet/v1/types.pb.h"

namespace quantfleet::daemon {

// Checks the token and counts its use by this key, once. A key that has used it before is not held
// to uses, rate and expiry again; if its device is enrolled (`enrolled`), not to revocation either.
// UNAUTHENTICATED: unknown token or wrong secret; PERMISSION_DENIED: expired, revoked, used up;
// RESOURCE_EXHAUSTED, with a retry-after: its rate.
absl::StatusOr<v1::EnrollmentToken> UseToken(Transaction& tx, std::string_view id,
                                             const Digest& secret_hash, const Digest& public_key,
                                             bool enrolled, int64_t now_ms);

// The admission of a device that the token admitted, enrolled or pending.
std::string AdmissionOfToken(std::string_view id);

}  // namespace quantfleet::daemon
