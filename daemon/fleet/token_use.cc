#include "daemon/fleet/token_use.h"

#include <algorithm>

#include "common/base/retry_after.h"

namespace quantfleet::daemon {
namespace {

constexpr int64_t kHourMs = 3'600'000, kDayMs = 24 * kHourMs;

// For a key that never used it.
absl::Status CheckFirstUse(const v1::EnrollmentToken& token, int64_t now_ms) {
  if (token.expires_ms() <= now_ms)
    return PermissionDenied("token {} has expired: ask for a new one", token.id());
  if (token.max_uses() != 0 && token.uses() >= token.max_uses())
    return PermissionDenied("token {} has been used up ({} of {}): ask for a new one", token.id(),
                            token.uses(), token.max_uses());
  return absl::OkStatus();
}

// At most rate_per_hour uses lie within any hour: of the latest so many, the earliest has to be an
// hour old. Those that lie more than a day in the future are of a clock that was far ahead: they
// would hold devices up for as long, and take no turn.
absl::Status CheckRate(const Transaction& tx, const v1::EnrollmentToken& token, int64_t now_ms) {
  if (token.rate_per_hour() == 0) return absl::OkStatus();
  QF_ASSIGN_OR_RETURN(const std::optional<int64_t> used,
                      tx.tokens().FindUseBefore(token.id(), now_ms - kHourMs, now_ms + kDayMs,
                                                token.rate_per_hour() - 1));
  if (!used) return absl::OkStatus();
  // A clock that was set back does not make any device wait longer than an hour.
  const int64_t wait = std::min<int64_t>(*used + kHourMs - now_ms, kHourMs);
  return WithRetryAfter(
      ResourceExhausted(
          "token {} admits {} devices in an hour, and that limit is reached: try again in {} s",
          token.id(), token.rate_per_hour(), (wait + 999) / 1000),
      Duration(wait));
}

}  // namespace

absl::StatusOr<v1::EnrollmentToken> UseToken(Transaction& tx, std::string_view id,
                                             const Digest& secret_hash, const Digest& public_key,
                                             bool enrolled, int64_t now_ms) {
  auto kept = tx.tokens().GetKept(id);
  if (absl::IsNotFound(kept.status()) || (kept.ok() && kept->secret_hash != secret_hash))
    return Unauthenticated(
        "the enrollment token is not valid: check that it was copied completely");
  QF_RETURN_IF_ERROR(kept.status());
  v1::EnrollmentToken token = std::move(kept->token);
  QF_ASSIGN_OR_RETURN(const auto used, tx.tokens().FindUse(id, public_key));
  if (used && enrolled) return token;
  if (token.revoked()) return PermissionDenied("token {} has been revoked: ask for a new one", id);
  if (used) return token;
  QF_RETURN_IF_ERROR(CheckFirstUse(token, now_ms));
  QF_RETURN_IF_ERROR(CheckRate(tx, token, now_ms));
  QF_RETURN_IF_ERROR(tx.tokens().AddUse(id, public_key, now_ms));
  token.set_uses(token.uses() + 1);
  QF_RETURN_IF_ERROR(tx.tokens().Put(token));
  return token;
}

std::string AdmissionOfToken(std::string_view id) { return fmt::format("token {}", id); }

}  // namespace quantfleet::daemon
