// The audit log.
#include <soci/soci.h>

#include "common/trust/audit_chain.h"
#include "daemon/store/sql/records.h"
#include "daemon/store/sql/subject.h"

namespace quantfleet::daemon {
namespace {

struct AuditRow {
  std::string record, previous, digest;
};

// Whatever a row holds is shown: it is for whoever checks the chain to find what is wrong with it.
v1::AuditEntry AuditEntryOf(const AuditRow& row) {
  v1::AuditEntry entry;
  if (const auto bytes = FromBase64Url(row.record)) entry.set_record(std::string(AsText(*bytes)));
  if (const auto digest = Digest::FromHexText(row.previous); digest.ok())
    entry.set_previous(digest->raw());
  if (const auto digest = Digest::FromHexText(row.digest); digest.ok())
    entry.set_digest(digest->raw());
  if (!entry.mutable_decoded()->ParseFromString(entry.record())) entry.clear_decoded();
  return entry;
}

std::string AuditCondition(const AuditStore::Filter& filter, long long from) {
  std::string where = filter.oldest_first ? "position > :after" : "position < :after";
  if (from > 0) where += " AND position >= :from";
  if (!filter.caller.empty()) where += " AND caller = :caller";
  for (size_t i = 0; i < filter.objects.size(); ++i)
    where += fmt::format("{}:o{}", i == 0 ? " AND object IN (" : ", ", i);
  return where + (filter.objects.empty() ? "" : ")");
}

class SqlAuditStore final : public AuditStore, private SqlSubject {
 public:
  explicit SqlAuditStore(SqlContext& context) : SqlSubject(context) {}

  absl::StatusOr<std::vector<v1::AuditEntry>> List(const Filter& filter, uint64_t after,
                                                   size_t limit) const override;
  absl::StatusOr<uint64_t> Append(v1::AuditRecord record) override;
  absl::StatusOr<uint64_t> Trim(int64_t older_than_ms, int64_t now_ms) override;
};

}  // namespace

absl::StatusOr<std::vector<v1::AuditEntry>> SqlAuditStore::List(const Filter& filter,
                                                                uint64_t after,
                                                                size_t limit) const {
  std::vector<v1::AuditEntry> entries;
  QF_RETURN_IF_ERROR(Read([&](soci::session& sql) -> absl::Status {
    long long from = 0;
    if (filter.since_ms > 0) {
      const long long since = filter.since_ms;
      sql << "SELECT position FROM audit WHERE time_ms >= :t ORDER BY time_ms, position LIMIT 1",
          soci::use(since), soci::into(from);
      if (!sql.got_data()) return absl::OkStatus();
    }
    const long long beyond = after > 0 || filter.oldest_first ? static_cast<long long>(after)
                                                              : std::numeric_limits<int64_t>::max();
    const long long most = static_cast<long long>(limit);
    AuditRow row;
    soci::statement query(sql);
    query.alloc();
    query.prepare("SELECT record, previous, digest FROM audit WHERE " +
                  AuditCondition(filter, from) + " ORDER BY position " +
                  (filter.oldest_first ? "" : "DESC ") + "LIMIT :most");
    query.exchange(soci::use(beyond));
    if (from > 0) query.exchange(soci::use(from));
    if (!filter.caller.empty()) query.exchange(soci::use(filter.caller));
    for (const std::string& object : filter.objects) query.exchange(soci::use(object));
    query.exchange(soci::use(most));
    query.exchange(soci::into(row.record));
    query.exchange(soci::into(row.previous));
    query.exchange(soci::into(row.digest));
    query.define_and_bind();
    query.execute();
    while (query.fetch()) entries.push_back(AuditEntryOf(row));
    return absl::OkStatus();
  }));
  return entries;
}

absl::StatusOr<uint64_t> SqlAuditStore::Append(v1::AuditRecord record) {
  QF_RETURN_IF_ERROR(Write([&](soci::session& sql) -> absl::Status {
    // The counter's row is taken first: entries are made one after the other.
    const long long position = NextPosition(sql, "audit"), time = record.time_ms();
    record.set_position(static_cast<uint64_t>(position));
    std::string previous;
    sql << "SELECT digest FROM audit ORDER BY position DESC LIMIT 1", soci::into(previous);
    if (!sql.got_data()) previous = trust::AuditChainStart().hex();
    const auto before = Digest::FromHexText(previous);
    // Someone wrote there: the break in the chain is for the check to find, and the log goes on.
    if (!before.ok()) previous = trust::AuditChainStart().hex();
    const std::string bytes = SerializeClean(record), packed = ToBase64Url(AsBytes(bytes));
    const std::string digest =
        trust::AuditDigest(before.ok() ? *before : trust::AuditChainStart(), bytes).hex();
    sql << "INSERT INTO audit (position, time_ms, caller, object, record, previous, digest) VALUES "
           "(:p, :t, :c, :o, :r, :b, :d)",
        soci::use(position), soci::use(time), soci::use(record.caller()),
        soci::use(record.object()), soci::use(packed), soci::use(previous), soci::use(digest);
    return absl::OkStatus();
  }));
  return record.position();
}

absl::StatusOr<uint64_t> SqlAuditStore::Trim(int64_t older_than_ms, int64_t now_ms) {
  long long last = 0;
  QF_RETURN_IF_ERROR(Write([&](soci::session& sql) -> absl::Status {
    const long long older = older_than_ms;
    // The newest stays: the next one follows it.
    sql << "SELECT COALESCE(MAX(position), 0) FROM audit WHERE position < COALESCE((SELECT "
           "MIN(position) FROM audit WHERE time_ms >= :t), (SELECT MAX(position) FROM audit))",
        soci::use(older), soci::into(last);
    if (last == 0) return absl::OkStatus();
    sql << "DELETE FROM audit WHERE position <= :p", soci::use(last);
    return absl::OkStatus();
  }));
  if (last == 0) return uint64_t{0};
  v1::AuditRecord record;
  record.set_time_ms(now_ms);
  record.set_method("TrimAudit");
  record.set_code("OK");
  record.set_trimmed(static_cast<uint64_t>(last));
  QF_RETURN_IF_ERROR(Append(std::move(record)).status());
  return static_cast<uint64_t>(last);
}

std::unique_ptr<AuditStore> MakeAuditStore(SqlContext& context) {
  return std::make_unique<SqlAuditStore>(context);
}

}  // namespace quantfleet::daemon
