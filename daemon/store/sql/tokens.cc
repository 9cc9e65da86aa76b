// Enrollment tokens and which keys used them.
#include <soci/soci.h>

#include "daemon/store/sql/records.h"
#include "daemon/store/sql/subject.h"

namespace quantfleet::daemon {
namespace {

absl::StatusOr<TokenStore::Kept> SelectToken(soci::session& sql, const std::string& id) {
  TokenStore::Kept kept;
  std::string record, secret_hash;
  sql << "SELECT record, secret_hash FROM tokens WHERE id = :i", soci::use(id), soci::into(record),
      soci::into(secret_hash);
  if (!sql.got_data()) return NotFound("there is no token \"{}\"", id);
  QF_ASSIGN_OR_RETURN(kept.token, Unpack<v1::EnrollmentToken>(record));
  QF_ASSIGN_OR_RETURN(kept.secret_hash, Digest::FromHexText(secret_hash));
  return kept;
}

class SqlTokenStore final : public TokenStore, private SqlSubject {
 public:
  explicit SqlTokenStore(SqlContext& context) : SqlSubject(context) {}

  absl::StatusOr<Kept> GetKept(std::string_view id) const override;
  absl::StatusOr<v1::EnrollmentToken> Get(std::string_view id) const override;
  absl::StatusOr<std::vector<v1::EnrollmentToken>> List() const override;
  absl::StatusOr<v1::EnrollmentToken> Create(const v1::EnrollmentToken& token,
                                             const Digest& secret_hash,
                                             const Request& request) override;
  absl::Status Put(const v1::EnrollmentToken& token) override;
  absl::StatusOr<std::optional<int64_t>> FindUse(std::string_view id,
                                                 const Digest& public_key) const override;
  absl::StatusOr<std::optional<int64_t>> FindUseBefore(std::string_view id, int64_t since_ms,
                                                       int64_t until_ms,
                                                       uint32_t skip) const override;
  absl::Status AddUse(std::string_view id, const Digest& public_key, int64_t used_ms) override;
};

}  // namespace

absl::StatusOr<v1::EnrollmentToken> SqlTokenStore::Create(const v1::EnrollmentToken& token,
                                                          const Digest& secret_hash,
                                                          const Request& request) {
  v1::EnrollmentToken result = token;
  QF_RETURN_IF_ERROR(Write([&](soci::session& sql) -> absl::Status {
    QF_ASSIGN_OR_RETURN(const auto known, FindRequest(sql, request));
    if (known) {
      QF_ASSIGN_OR_RETURN(Kept row, SelectToken(sql, *known));
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

absl::StatusOr<TokenStore::Kept> SqlTokenStore::GetKept(std::string_view id) const {
  Kept kept;
  QF_RETURN_IF_ERROR(Read([&](soci::session& sql) -> absl::Status {
    QF_ASSIGN_OR_RETURN(kept, SelectToken(sql, std::string(id)));
    return absl::OkStatus();
  }));
  return kept;
}

absl::StatusOr<v1::EnrollmentToken> SqlTokenStore::Get(std::string_view id) const {
  QF_ASSIGN_OR_RETURN(Kept kept, GetKept(id));
  return std::move(kept.token);
}

absl::StatusOr<std::vector<v1::EnrollmentToken>> SqlTokenStore::List() const {
  std::vector<v1::EnrollmentToken> tokens;
  QF_RETURN_IF_ERROR(Read([&](soci::session&) -> absl::Status {
    tokens = SelectAll<v1::EnrollmentToken>(context_, "token",
                                            "SELECT id, record FROM tokens ORDER BY position DESC");
    return absl::OkStatus();
  }));
  return tokens;
}

absl::Status SqlTokenStore::Put(const v1::EnrollmentToken& token) {
  return Write([&](soci::session& sql) -> absl::Status {
    const std::string id = token.id(), record = Pack(token);
    QF_RETURN_IF_ERROR(SelectToken(sql, id).status());
    sql << "UPDATE tokens SET record = :r WHERE id = :i", soci::use(record), soci::use(id);
    Note(Change::Kind::kToken, id);
    return absl::OkStatus();
  });
}

absl::StatusOr<std::optional<int64_t>> SqlTokenStore::FindUse(std::string_view id,
                                                              const Digest& public_key) const {
  std::optional<int64_t> found;
  QF_RETURN_IF_ERROR(Read([&](soci::session& sql) -> absl::Status {
    const std::string name(id), key = public_key.hex();
    long long used = 0;
    sql << "SELECT used_ms FROM token_uses WHERE token = :t AND public_key = :k", soci::use(name),
        soci::use(key), soci::into(used);
    if (sql.got_data()) found = used;
    return absl::OkStatus();
  }));
  return found;
}

absl::StatusOr<std::optional<int64_t>> SqlTokenStore::FindUseBefore(std::string_view id,
                                                                    int64_t since_ms,
                                                                    int64_t until_ms,
                                                                    uint32_t skip) const {
  std::optional<int64_t> found;
  QF_RETURN_IF_ERROR(Read([&](soci::session& sql) -> absl::Status {
    const std::string name(id);
    const long long since = since_ms, until = until_ms, before = skip;
    long long used = 0;
    sql << "SELECT used_ms FROM token_uses WHERE token = :t AND used_ms > :s AND used_ms <= :u "
           "ORDER BY used_ms DESC LIMIT 1 OFFSET :o",
        soci::use(name), soci::use(since), soci::use(until), soci::use(before), soci::into(used);
    if (sql.got_data()) found = used;
    return absl::OkStatus();
  }));
  return found;
}

absl::Status SqlTokenStore::AddUse(std::string_view id, const Digest& public_key, int64_t used_ms) {
  return Write([&](soci::session& sql) -> absl::Status {
    const std::string name(id), key = public_key.hex();
    const long long used = used_ms;
    sql << "INSERT INTO token_uses (token, public_key, used_ms) VALUES (:t, :k, :u)",
        soci::use(name), soci::use(key), soci::use(used);
    return absl::OkStatus();
  });
}

std::unique_ptr<TokenStore> MakeTokenStore(SqlContext& context) {
  return std::make_unique<SqlTokenStore>(context);
}

}  // namespace quantfleet::daemon
