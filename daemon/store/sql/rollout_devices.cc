// The rows of rollouts: one per device.
#include <soci/soci.h>

#include "daemon/store/sql/records.h"
#include "daemon/store/sql/rollout_states.h"
#include "daemon/store/sql/rollout_store.h"

namespace quantfleet::daemon {

namespace {

// The row `o` of the rollout `r` keeps its device from all others.
std::string IsUnderWay() {
  return fmt::format("o.state IN ({}) AND r.state IN ({})", UnderWayStates(), ActiveStates());
}

}  // namespace

absl::StatusOr<std::vector<RolloutStore::Row>> SqlRolloutStore::ListActiveOf(
    std::string_view device_id) const {
  std::vector<Row> result;
  QF_RETURN_IF_ERROR(Read([&](soci::session&) -> absl::Status {
    const std::string device(device_id);
    static const std::string query =
        "SELECT r.name, r.model, d.record, r.priority FROM rollout_devices d"
        " JOIN rollouts r ON r.name = d.rollout WHERE d.device = :d AND r.state IN (" +
        ActiveStates() + ") ORDER BY r.position";
    for (const auto& [name, model, record, priority] :
         prepared().Select<std::string, std::string, std::string, int>(query, device)) {
      QF_ASSIGN_OR_RETURN(v1::RolloutDevice row, Unpack<v1::RolloutDevice>(record));
      result.push_back({name, model, std::move(row), priority});
    }
    return absl::OkStatus();
  }));
  return result;
}

// `revision`: that the change has in its rollout.
void SqlRolloutStore::WriteRow(soci::session& sql, const std::string& rollout,
                               const v1::RolloutDevice& row, long long revision) {
  const std::string device = row.device_id(), record = Pack(row);
  const int state = row.state(), phase = static_cast<int>(row.phase()), code = row.code();
  const long long delay = row.delay_ms(), deadline = row.deadline_ms(),
                  finished = row.finished_ms();
  sql << "INSERT INTO rollout_devices (rollout, device, state, record, phase, delay_ms, "
         "deadline_ms, code, finished_ms, revision)"
         " VALUES (:o, :d, :s, :r, :p, :y, :l, :c, :f, :v)"
         " ON CONFLICT (rollout, device) DO UPDATE SET"
         " state = excluded.state, record = excluded.record, phase = excluded.phase,"
         " delay_ms = excluded.delay_ms, deadline_ms = excluded.deadline_ms, code = "
         "excluded.code,"
         " finished_ms = excluded.finished_ms, revision = excluded.revision",
      soci::use(rollout), soci::use(device), soci::use(state), soci::use(record), soci::use(phase),
      soci::use(delay), soci::use(deadline), soci::use(code), soci::use(finished),
      soci::use(revision);
}

absl::Status SqlRolloutStore::PutDevice(std::string_view rollout, const v1::RolloutDevice& row) {
  return Write([&](soci::session& sql) -> absl::Status {
    const std::string name(rollout);
    // The rollout's own row counts its changes: whoever holds it is the next to be committed, so a
    // watcher that has read up to a revision misses none below it.
    long long revision = 0;
    sql << "UPDATE rollouts SET revision = revision + 1 WHERE name = :n RETURNING revision",
        soci::use(name), soci::into(revision);
    if (!sql.got_data()) return NotFound("there is no rollout \"{}\"", name);
    WriteRow(sql, name, row, revision);
    Note(Change::Kind::kRollout, name);
    return absl::OkStatus();
  });
}

absl::StatusOr<std::vector<RolloutStore::Count>> SqlRolloutStore::CountDevices(
    std::string_view rollout) const {
  std::vector<Count> counts;
  QF_RETURN_IF_ERROR(Read([&](soci::session& sql) -> absl::Status {
    const std::string name(rollout);
    int state = 0, phase = 0;
    long long n = 0;
    soci::statement rows =
        (sql.prepare << "SELECT phase, state, COUNT(*) FROM rollout_devices WHERE "
                        "rollout = :r GROUP BY phase, state ORDER BY phase, state",
         soci::use(name), soci::into(phase), soci::into(state), soci::into(n));
    rows.execute();
    while (rows.fetch())
      counts.push_back({static_cast<uint32_t>(phase), static_cast<v1::RolloutDevice::State>(state),
                        static_cast<uint64_t>(n)});
    return absl::OkStatus();
  }));
  return counts;
}

absl::StatusOr<std::vector<v1::RolloutDevice>> SqlRolloutStore::ListDevices(
    std::string_view rollout, v1::RolloutDevice::State state) const {
  std::vector<v1::RolloutDevice> devices;
  QF_RETURN_IF_ERROR(Read([&](soci::session&) -> absl::Status {
    const std::string name(rollout);
    const int wanted = state;
    devices = SelectAll<v1::RolloutDevice>(context_, "device of a rollout",
                                           "SELECT device, record FROM rollout_devices WHERE "
                                           "rollout = :r AND state = :s ORDER BY device",
                                           name, wanted);
    return absl::OkStatus();
  }));
  return devices;
}

absl::StatusOr<std::vector<v1::RolloutDevice>> SqlRolloutStore::ListHealthyDevices(
    size_t limit) const {
  std::vector<v1::RolloutDevice> devices;
  QF_RETURN_IF_ERROR(Read([&](soci::session&) -> absl::Status {
    const int healthy = v1::RolloutDevice::HEALTHY;
    const long long most = static_cast<long long>(limit);
    devices = SelectAll<v1::RolloutDevice>(
        context_, "device of a rollout",
        "SELECT device, record FROM rollout_devices WHERE state = :s AND finished_ms > 0"
        " ORDER BY finished_ms DESC, rollout, device LIMIT :n",
        healthy, most);
    return absl::OkStatus();
  }));
  return devices;
}

std::string SqlRolloutStore::SelectWhere(soci::session& sql, const std::string& rollout,
                                         const std::string& device) {
  std::string other;
  sql << "SELECT o.rollout FROM rollout_devices o JOIN rollouts r ON r.name = o.rollout WHERE "
         "o.device = :d"
         " AND o.rollout <> :n AND " +
             IsUnderWay() + " ORDER BY r.position LIMIT 1",
      soci::use(device), soci::use(rollout), soci::into(other);
  return sql.got_data() ? other : "";
}

absl::StatusOr<std::vector<v1::RolloutDevice>> SqlRolloutStore::ListQueuedDevices(
    std::string_view rollout, uint32_t phase, int64_t delay_ms, size_t limit) const {
  std::vector<v1::RolloutDevice> devices;
  QF_RETURN_IF_ERROR(Read([&](soci::session&) -> absl::Status {
    const std::string name(rollout);
    const int queued = v1::RolloutDevice::QUEUED, last = static_cast<int>(phase);
    const long long delay = delay_ms, most = static_cast<long long>(limit);
    devices = SelectAll<v1::RolloutDevice>(
        context_, "device of a rollout",
        "SELECT q.device, q.record FROM rollout_devices q WHERE q.rollout = :r AND q.state = :s"
        " AND q.phase <= :p AND q.delay_ms <= :y AND NOT EXISTS (SELECT 1 FROM "
        "rollout_devices o"
        " JOIN rollouts r ON r.name = o.rollout WHERE o.device = q.device AND "
        "o.rollout <> q.rollout"
        " AND " +
            IsUnderWay() + ") ORDER BY q.phase, q.delay_ms, q.device LIMIT :n",
        name, queued, last, delay, most);
    return absl::OkStatus();
  }));
  return devices;
}

absl::StatusOr<std::vector<v1::RolloutDevice>> SqlRolloutStore::ListOverdueDevices(
    std::string_view rollout, int64_t now_ms, int64_t latest_ms) const {
  std::vector<v1::RolloutDevice> devices;
  QF_RETURN_IF_ERROR(Read([&](soci::session&) -> absl::Status {
    const std::string name(rollout);
    const long long now = now_ms, latest = latest_ms;
    devices = SelectAll<v1::RolloutDevice>(
        context_, "device of a rollout",
        "SELECT device, record FROM rollout_devices WHERE rollout = :r AND deadline_ms > 0"
        " AND (deadline_ms <= :t OR deadline_ms > :l) ORDER BY device",
        name, now, latest);
    return absl::OkStatus();
  }));
  return devices;
}

}  // namespace quantfleet::daemon
