// Enrolment tokens and their use.
#include <soci/soci.h>

#include "daemon/store/records.h"
#include "daemon/store/store.h"

namespace quantfleet::daemon {
namespace {

struct TokenRow {
  v1::EnrolmentToken token;
  std::string secret_hash;
};

absl::StatusOr<TokenRow> SelectToken(soci::session& sql, const std::string& id) {
  TokenRow row;
  std::string record;
  sql << "SELECT record, secret_hash FROM tokens WHERE id = :i", soci::use(id), soci::into(record),
      soci::into(row.secret_hash);
  if (!sql.got_data()) return NotFound("there is no token \"{}\"", id);
  QF_ASSIGN_OR_RETURN(row.token, Unpack<v1::EnrolmentToken>(record));
  return row;
}

void UpdateToken(soci::session& sql, const v1::EnrolmentToken& token) {
  const std::string id = token.id(), record = Pack(token);
  sql << "UPDATE tokens SET record = :r WHERE id = :i", soci::use(record), soci::use(id);
}

// `counted`: this device has used the token before, and comes again (the answer was lost).
absl::Status CheckToken(const v1::EnrolmentToken& token, int64_t now_ms, bool counted) {
  if (token.revoked()) return PermissionDenied("token {} has been revoked: ask for a new one", token.id());
  if (token.expires_ms() <= now_ms)
    return PermissionDenied("token {} has expired: ask for a new one", token.id());
  if (!counted && token.max_uses() != 0 && token.uses() >= token.max_uses())
    return PermissionDenied("token {} has been used up ({} of {}): ask for a new one", token.id(),
                            token.uses(), token.max_uses());
  return absl::OkStatus();
}

void InsertDevice(soci::session& sql, const v1::Device& device, const Enrolment& enrolment) {
  v1::Device kept = device;
  kept.clear_models();
  kept.clear_last_seen_ms();
  const std::string id = device.id(), key = enrolment.public_key.hex(), record = Pack(kept);
  const long long seen = enrolment.now_ms;
  sql << "INSERT INTO devices (id, public_key, token, last_seen_ms, record) VALUES (:i, :k, :t, :s, :r)"
         " ON CONFLICT (public_key) DO UPDATE SET token = excluded.token, last_seen_ms = "
         "excluded.last_seen_ms,"
         " record = excluded.record",
      soci::use(id), soci::use(key), soci::use(enrolment.token_id), soci::use(seen), soci::use(record);
}

}  // namespace

absl::StatusOr<v1::EnrolmentToken> Store::CreateToken(const v1::EnrolmentToken& token,
                                                      const Digest& secret_hash, const Request& request) {
  v1::EnrolmentToken result = token;
  QF_RETURN_IF_ERROR(Write([&](soci::session& sql) -> absl::Status {
    if (auto known = FindRequestIn(sql, request)) {
      QF_ASSIGN_OR_RETURN(TokenRow row, SelectToken(sql, *known));
      result = std::move(row.token);
      return absl::OkStatus();
    }
    const std::string id = token.id(), hash = secret_hash.hex(), record = Pack(token);
    const long long position = NextPosition(sql, "tokens");
    sql << "INSERT INTO tokens (id, secret_hash, position, record) VALUES (:i, :h, :p, :r)", soci::use(id),
        soci::use(hash), soci::use(position), soci::use(record);
    RecordRequest(sql, request, id);
    Note(Change::Kind::kToken, id);
    return absl::OkStatus();
  }));
  return result;
}

absl::StatusOr<v1::EnrolmentToken> Store::GetToken(std::string_view id) {
  v1::EnrolmentToken token;
  QF_RETURN_IF_ERROR(Read([&](soci::session& sql) -> absl::Status {
    QF_ASSIGN_OR_RETURN(TokenRow row, SelectToken(sql, std::string(id)));
    token = std::move(row.token);
    return absl::OkStatus();
  }));
  return token;
}

absl::StatusOr<std::vector<v1::EnrolmentToken>> Store::ListTokens() {
  std::vector<v1::EnrolmentToken> tokens;
  QF_RETURN_IF_ERROR(Read([&](soci::session& sql) -> absl::Status {
    QF_ASSIGN_OR_RETURN(
        tokens, SelectAll<v1::EnrolmentToken>(sql, "SELECT record FROM tokens ORDER BY position DESC"));
    return absl::OkStatus();
  }));
  return tokens;
}

absl::StatusOr<v1::EnrolmentToken> Store::RevokeToken(std::string_view id) {
  v1::EnrolmentToken token;
  QF_RETURN_IF_ERROR(Write([&](soci::session& sql) -> absl::Status {
    QF_ASSIGN_OR_RETURN(TokenRow row, SelectToken(sql, std::string(id)));
    token = std::move(row.token);
    token.set_revoked(true);
    UpdateToken(sql, token);
    Note(Change::Kind::kToken, id);
    return absl::OkStatus();
  }));
  return token;
}

absl::StatusOr<v1::Device> Store::UseTokenAndCreateDevice(const Enrolment& enrolment) {
  v1::Device device = enrolment.device;
  QF_RETURN_IF_ERROR(Write([&](soci::session& sql) -> absl::Status {
    auto row = SelectToken(sql, enrolment.token_id);
    if (row.status().code() == absl::StatusCode::kNotFound ||
        (row.ok() && row->secret_hash != enrolment.secret_hash.hex()))
      return Unauthenticated("the enrolment token is not valid: check that it was copied whole");
    QF_RETURN_IF_ERROR(row.status());
    v1::EnrolmentToken& token = row->token;

    std::string old_token, old_record;
    const std::string key = enrolment.public_key.hex();
    sql << "SELECT token, record FROM devices WHERE public_key = :k", soci::use(key), soci::into(old_token),
        soci::into(old_record);
    const bool known = sql.got_data(), counted = known && old_token == token.id();
    QF_RETURN_IF_ERROR(CheckToken(token, enrolment.now_ms, counted));
    if (known) {
      QF_ASSIGN_OR_RETURN(v1::Device old, Unpack<v1::Device>(old_record));
      if (old.state() == v1::Device::REVOKED)
        return PermissionDenied("device {} has been revoked: enrol with a new key", old.id());
      device.set_id(old.id());
      device.set_enrolled_ms(old.enrolled_ms());
      // What operators called it stays, the token's own labels win.
      for (const auto& [label, value] : old.labels()) (*device.mutable_labels())[label] = value;
    }
    for (const auto& [label, value] : token.labels()) (*device.mutable_labels())[label] = value;
    InsertDevice(sql, device, enrolment);
    if (!counted) {
      token.set_uses(token.uses() + 1);
      UpdateToken(sql, token);
      Note(Change::Kind::kToken, token.id());
    }
    Note(Change::Kind::kDevice, device.id());
    return FillDevice(sql, device, enrolment.now_ms);
  }));
  return device;
}

}  // namespace quantfleet::daemon
