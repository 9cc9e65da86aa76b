// Enrollment tokens and their use.
#include <soci/soci.h>

#include <algorithm>

#include "common/base/retry_after.h"
#include "daemon/store/sql/records.h"
#include "daemon/store/sql/store.h"

namespace quantfleet::daemon {
namespace {

constexpr int64_t kHourMs = 3'600'000;

struct TokenRow {
  v1::EnrollmentToken token;
  std::string secret_hash;
};

absl::StatusOr<TokenRow> SelectToken(soci::session& sql, const std::string& id) {
  TokenRow row;
  std::string record;
  sql << "SELECT record, secret_hash FROM tokens WHERE id = :i", soci::use(id), soci::into(record),
      soci::into(row.secret_hash);
  if (!sql.got_data()) return NotFound("there is no token \"{}\"", id);
  QF_ASSIGN_OR_RETURN(row.token, Unpack<v1::EnrollmentToken>(record));
  return row;
}

void UpdateToken(soci::session& sql, const v1::EnrollmentToken& token) {
  const std::string id = token.id(), record = Pack(token);
  sql << "UPDATE tokens SET record = :r WHERE id = :i", soci::use(record), soci::use(id);
}

// Of one that never used it.
absl::Status CheckFirstUse(const v1::EnrollmentToken& token, int64_t now_ms) {
  if (token.expires_ms() <= now_ms)
    return PermissionDenied("token {} has expired: ask for a new one", token.id());
  if (token.max_uses() != 0 && token.uses() >= token.max_uses())
    return PermissionDenied("token {} has been used up ({} of {}): ask for a new one", token.id(),
                            token.uses(), token.max_uses());
  return absl::OkStatus();
}

// At most rate_per_hour uses lie within any hour: of the latest so many, the earliest has to be an
// hour old.
absl::Status CheckRate(soci::session& sql, const v1::EnrollmentToken& token, int64_t now_ms) {
  if (token.rate_per_hour() == 0) return absl::OkStatus();
  const std::string id = token.id();
  const long long since = now_ms - kHourMs, before = token.rate_per_hour() - 1;
  long long used = 0;
  sql << "SELECT used_ms FROM token_uses WHERE token = :t AND used_ms > :s ORDER BY used_ms DESC "
         "LIMIT 1 OFFSET :o",
      soci::use(id), soci::use(since), soci::use(before), soci::into(used);
  if (!sql.got_data()) return absl::OkStatus();
  // A clock that was set back makes no device wait for longer than the hour.
  const int64_t wait = std::min<int64_t>(used + kHourMs - now_ms, kHourMs);
  return WithRetryAfter(
      ResourceExhausted("token {} lets {} devices in an hour, and they came: ask again in {} s", id,
                        token.rate_per_hour(), (wait + 999) / 1000),
      Duration(wait));
}

}  // namespace

absl::StatusOr<v1::EnrollmentToken> Store::CreateToken(const v1::EnrollmentToken& token,
                                                       const Digest& secret_hash,
                                                       const Request& request) {
  v1::EnrollmentToken result = token;
  QF_RETURN_IF_ERROR(Write([&](soci::session& sql) -> absl::Status {
    if (auto known = FindRequestIn(sql, request)) {
      QF_ASSIGN_OR_RETURN(TokenRow row, SelectToken(sql, *known));
      result = std::move(row.token);
      return absl::OkStatus();
    }
    const std::string id = token.id(), hash = secret_hash.hex(), record = Pack(token);
    const long long position = NextPosition(sql, "tokens");
    sql << "INSERT INTO tokens (id, secret_hash, position, record) VALUES (:i, :h, :p, :r)",
        soci::use(id), soci::use(hash), soci::use(position), soci::use(record);
    RecordRequest(sql, request, id);
    Note(Change::Kind::kToken, id);
    return absl::OkStatus();
  }));
  return result;
}

absl::StatusOr<v1::EnrollmentToken> Store::GetToken(std::string_view id) {
  v1::EnrollmentToken token;
  QF_RETURN_IF_ERROR(Read([&](soci::session& sql) -> absl::Status {
    QF_ASSIGN_OR_RETURN(TokenRow row, SelectToken(sql, std::string(id)));
    token = std::move(row.token);
    return absl::OkStatus();
  }));
  return token;
}

absl::StatusOr<std::vector<v1::EnrollmentToken>> Store::ListTokens() {
  std::vector<v1::EnrollmentToken> tokens;
  QF_RETURN_IF_ERROR(Read([&](soci::session& sql) -> absl::Status {
    QF_ASSIGN_OR_RETURN(tokens, SelectAll<v1::EnrollmentToken>(
                                    sql, "SELECT record FROM tokens ORDER BY position DESC"));
    return absl::OkStatus();
  }));
  return tokens;
}

absl::StatusOr<v1::EnrollmentToken> Store::RevokeToken(std::string_view id) {
  v1::EnrollmentToken token;
  QF_RETURN_IF_ERROR(Write([&](soci::session& sql) -> absl::Status {
    QF_ASSIGN_OR_RETURN(TokenRow row, SelectToken(sql, std::string(id)));
    token = std::move(row.token);
    token.set_revoked(true);
    UpdateToken(sql, token);
    const std::string admission = "token " + token.id();
    sql << "DELETE FROM pending_devices WHERE admission = :a", soci::use(admission);
    Note(Change::Kind::kToken, id);
    return absl::OkStatus();
  }));
  return token;
}

absl::StatusOr<v1::EnrollmentToken> Store::UseToken(std::string_view id, const Digest& secret_hash,
                                                    const Digest& public_key, bool enrolled,
                                                    int64_t now_ms) {
  v1::EnrollmentToken token;
  QF_RETURN_IF_ERROR(Write([&](soci::session& sql) -> absl::Status {
    const std::string name(id), key = public_key.hex();
    auto row = SelectToken(sql, name);
    if (row.status().code() == absl::StatusCode::kNotFound ||
        (row.ok() && row->secret_hash != secret_hash.hex()))
      return Unauthenticated("the enrollment token is not valid: check that it was copied whole");
    QF_RETURN_IF_ERROR(row.status());
    token = std::move(row->token);

    long long used = 0;
    sql << "SELECT used_ms FROM token_uses WHERE token = :t AND public_key = :k", soci::use(name),
        soci::use(key), soci::into(used);
    const bool counted = sql.got_data();
    if (counted && enrolled) return absl::OkStatus();
    if (token.revoked())
      return PermissionDenied("token {} has been revoked: ask for a new one", name);
    if (counted) return absl::OkStatus();
    QF_RETURN_IF_ERROR(CheckFirstUse(token, now_ms));
    QF_RETURN_IF_ERROR(CheckRate(sql, token, now_ms));
    used = now_ms;
    sql << "INSERT INTO token_uses (token, public_key, used_ms) VALUES (:t, :k, :u)",
        soci::use(name), soci::use(key), soci::use(used);
    token.set_uses(token.uses() + 1);
    UpdateToken(sql, token);
    Note(Change::Kind::kToken, name);
    return absl::OkStatus();
  }));
  return token;
}

}  // namespace quantfleet::daemon
