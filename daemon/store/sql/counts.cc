// How much there is of everything.
#include <soci/soci.h>

#include "daemon/store/sql/rollout_states.h"
#include "daemon/store/sql/subject.h"

namespace quantfleet::daemon {
namespace {

uint64_t CountRows(soci::session& sql, const std::string& query) {
  long long n = 0;
  sql << query, soci::into(n);
  return static_cast<uint64_t>(n);
}

uint64_t CountRows(soci::session& sql, const std::string& query, long long value) {
  long long n = 0;
  sql << query, soci::use(value), soci::into(n);
  return static_cast<uint64_t>(n);
}

class SqlCountStore final : public CountStore, private SqlSubject {
 public:
  explicit SqlCountStore(SqlContext& context) : SqlSubject(context) {}

  absl::StatusOr<Counts> Count(int64_t seen_since_ms, int64_t seen_until_ms) const override {
    Counts counts;
    QF_RETURN_IF_ERROR(Read([&](soci::session& sql) -> absl::Status {
      counts.models = CountRows(sql, "SELECT COUNT(DISTINCT model) FROM model_versions");
      counts.artifacts = CountRows(sql, "SELECT COUNT(*) FROM artifacts");
      counts.artifacts_damaged =
          CountRows(sql, "SELECT COUNT(DISTINCT digest) FROM artifact_damage");
      // PostgreSQL's sum of big integers is a decimal number.
      counts.stored_bytes =
          CountRows(sql, "SELECT CAST(COALESCE(SUM(stored_bytes), 0) AS BIGINT) FROM artifacts");
      counts.devices = CountRows(sql, "SELECT COUNT(*) FROM devices");
      counts.devices_seen =
          CountRows(sql, "SELECT COUNT(*) FROM devices WHERE last_seen_ms >= :t", seen_since_ms) -
          CountRows(sql, "SELECT COUNT(*) FROM devices WHERE last_seen_ms > :t", seen_until_ms) +
          context_.last_seen.CountBetween(seen_since_ms, seen_until_ms);
      // Who has expired is removed when the next one comes.
      counts.devices_pending = CountRows(
          sql, "SELECT COUNT(*) FROM pending_devices WHERE expires_ms > :t", seen_since_ms);
      counts.jobs_running =
          CountRows(sql, "SELECT COUNT(*) FROM jobs WHERE state = :s", v1::Job::RUNNING);
      counts.jobs_queued =
          CountRows(sql, "SELECT COUNT(*) FROM jobs WHERE state = :s", v1::Job::QUEUED);
      counts.rollouts_running =
          CountRows(sql, "SELECT COUNT(*) FROM rollouts WHERE state IN (" + ActiveStates() + ")");
      return absl::OkStatus();
    }));
    return counts;
  }
};

}  // namespace

std::unique_ptr<CountStore> MakeCountStore(SqlContext& context) {
  return std::make_unique<SqlCountStore>(context);
}

}  // namespace quantfleet::daemon
