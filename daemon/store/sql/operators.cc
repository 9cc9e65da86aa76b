// Operators and their login codes.
#include <soci/soci.h>

#include "daemon/store/sql/records.h"
#include "daemon/store/sql/subject.h"

namespace quantfleet::daemon {
namespace {

constexpr const char* kSince = "operators_since";

struct OperatorRow {
  std::string key, code_id, code_hash, record;
};

OperatorRow OperatorRowOf(const OperatorStore::Kept& kept) {
  const std::string& key = kept.record.public_key();
  return {key.empty() ? "" : ToHex(AsBytes(key)), kept.code ? kept.code->id : "",
          kept.code ? kept.code->secret_hash.hex() : "", Pack(kept.record)};
}

// `where`: of one parameter.
absl::StatusOr<std::optional<OperatorStore::Kept>> SelectOperator(soci::session& sql,
                                                                  const std::string& where,
                                                                  const std::string& value) {
  struct Found {
    std::string code_id, code_hash, record;
  };
  std::vector<Found> rows;
  Found row;
  soci::statement query =
      (sql.prepare << "SELECT code_id, code_hash, record FROM operators WHERE " + where +
                          " = :v ORDER BY position DESC",
       soci::use(value), soci::into(row.code_id), soci::into(row.code_hash),
       soci::into(row.record));
  query.execute();
  while (query.fetch()) rows.push_back(row);
  std::optional<OperatorStore::Kept> found;
  for (const Found& each : rows) {
    QF_ASSIGN_OR_RETURN(v1::Operator record, Unpack<v1::Operator>(each.record));
    if (found && record.revoked_ms() != 0) continue;
    found.emplace();
    found->record = std::move(record);
    if (each.code_id.empty()) continue;
    QF_ASSIGN_OR_RETURN(const Digest hash, Digest::FromHexText(each.code_hash));
    found->code = {each.code_id, hash};
  }
  return found;
}

class SqlOperatorStore final : public OperatorStore, private SqlSubject {
 public:
  explicit SqlOperatorStore(SqlContext& context) : SqlSubject(context) {}

  absl::StatusOr<std::optional<Kept>> Find(std::string_view name) const override {
    return FindBy("name", std::string(name));
  }
  absl::StatusOr<std::optional<Kept>> FindByKey(const Digest& public_key) const override {
    return FindBy("public_key", public_key.hex());
  }
  absl::StatusOr<std::optional<Kept>> FindByCode(std::string_view code_id) const override {
    if (code_id.empty()) return std::nullopt;
    return FindBy("code_id", std::string(code_id));
  }
  absl::StatusOr<std::vector<v1::Operator>> List() const override;
  absl::StatusOr<v1::Operator> Create(const Kept& made, const Request& request) override;
  absl::Status Put(const Kept& changed) override;
  absl::StatusOr<int64_t> RecordedSince(int64_t now_ms) override;

 private:
  absl::StatusOr<std::optional<Kept>> FindBy(const std::string& column,
                                             const std::string& value) const;
};

}  // namespace

absl::StatusOr<std::optional<OperatorStore::Kept>> SqlOperatorStore::FindBy(
    const std::string& column, const std::string& value) const {
  std::optional<Kept> found;
  QF_RETURN_IF_ERROR(Read([&](soci::session& sql) -> absl::Status {
    QF_ASSIGN_OR_RETURN(found, SelectOperator(sql, column, value));
    return absl::OkStatus();
  }));
  return found;
}

absl::StatusOr<std::vector<v1::Operator>> SqlOperatorStore::List() const {
  std::vector<v1::Operator> operators;
  QF_RETURN_IF_ERROR(Read([&](soci::session&) -> absl::Status {
    operators = SelectAll<v1::Operator>(
        context_, "operator", "SELECT name, record FROM operators ORDER BY position DESC");
    return absl::OkStatus();
  }));
  return operators;
}

absl::StatusOr<v1::Operator> SqlOperatorStore::Create(const Kept& made, const Request& request) {
  v1::Operator result = made.record;
  QF_RETURN_IF_ERROR(Write([&](soci::session& sql) -> absl::Status {
    QF_ASSIGN_OR_RETURN(const auto known, FindRequest(sql, request));
    if (known) {
      QF_ASSIGN_OR_RETURN(const auto before, SelectOperator(sql, "name", *known));
      if (!before) return NotFound("there is no operator \"{}\"", *known);
      result = before->record;
      return absl::OkStatus();
    }
    const std::string& name = made.record.name();
    const OperatorRow row = OperatorRowOf(made);
    const long long position = NextPosition(sql, "operators");
    sql << "INSERT INTO operators (name, position, public_key, code_id, code_hash, record) VALUES "
           "(:n, :p, :k, :c, :h, :r) ON CONFLICT (name) DO UPDATE SET position = "
           "excluded.position, public_key = excluded.public_key, code_id = excluded.code_id, "
           "code_hash = excluded.code_hash, record = excluded.record",
        soci::use(name), soci::use(position), soci::use(row.key), soci::use(row.code_id),
        soci::use(row.code_hash), soci::use(row.record);
    RecordRequest(sql, request, name);
    Note(Change::Kind::kOperator, name);
    return absl::OkStatus();
  }));
  return result;
}

absl::Status SqlOperatorStore::Put(const Kept& changed) {
  return Write([&](soci::session& sql) -> absl::Status {
    const std::string& name = changed.record.name();
    QF_ASSIGN_OR_RETURN(const auto before, SelectOperator(sql, "name", name));
    if (!before) return NotFound("there is no operator \"{}\"", name);
    const OperatorRow row = OperatorRowOf(changed);
    sql << "UPDATE operators SET public_key = :k, code_id = :c, code_hash = :h, record = :r WHERE "
           "name = :n",
        soci::use(row.key), soci::use(row.code_id), soci::use(row.code_hash), soci::use(row.record),
        soci::use(name);
    Note(Change::Kind::kOperator, name);
    return absl::OkStatus();
  });
}

absl::StatusOr<int64_t> SqlOperatorStore::RecordedSince(int64_t now_ms) {
  long long since = now_ms;
  QF_RETURN_IF_ERROR(Write([&](soci::session& sql) -> absl::Status {
    const std::string name = kSince;
    const long long now = now_ms;
    sql << "INSERT INTO counters (name, value) VALUES (:n, :v) ON CONFLICT (name) DO NOTHING",
        soci::use(name), soci::use(now);
    sql << "SELECT value FROM counters WHERE name = :n", soci::use(name), soci::into(since);
    return absl::OkStatus();
  }));
  return since;
}

std::unique_ptr<OperatorStore> MakeOperatorStore(SqlContext& context) {
  return std::make_unique<SqlOperatorStore>(context);
}

}  // namespace quantfleet::daemon
