// Assignments and rollouts.
#include <soci/soci.h>

#include "daemon/store/records.h"
#include "daemon/store/store.h"

namespace quantfleet::daemon {
namespace {

// A rollout without its devices.
absl::StatusOr<v1::Rollout> SelectRollout(soci::session& sql, const std::string& name) {
  std::string model;
  int state = 0;
  long long created = 0, finished = 0;
  sql << "SELECT model, state, created_ms, finished_ms FROM rollouts WHERE name = :n", soci::use(name),
      soci::into(model), soci::into(state), soci::into(created), soci::into(finished);
  if (!sql.got_data()) return NotFound("there is no rollout \"{}\"", name);
  v1::Rollout rollout;
  rollout.set_name(name);
  rollout.set_model(model);
  rollout.set_state(static_cast<v1::Rollout::State>(state));
  rollout.set_created_ms(created);
  rollout.set_finished_ms(finished);
  return rollout;
}

absl::StatusOr<v1::Rollout> SelectWholeRollout(soci::session& sql, const std::string& name) {
  QF_ASSIGN_OR_RETURN(v1::Rollout rollout, SelectRollout(sql, name));
  QF_ASSIGN_OR_RETURN(
      auto devices, SelectAll<v1::RolloutDevice>(
                        sql, "SELECT record FROM rollout_devices WHERE rollout = :r ORDER BY device", name));
  for (v1::RolloutDevice& device : devices) *rollout.add_devices() = std::move(device);
  return rollout;
}

void UpsertRolloutDevice(soci::session& sql, const std::string& rollout, const v1::RolloutDevice& row) {
  const std::string device = row.device_id(), record = Pack(row);
  const int state = row.state();
  sql << "INSERT INTO rollout_devices (rollout, device, state, record) VALUES (:o, :d, :s, :r)"
         " ON CONFLICT (rollout, device) DO UPDATE SET state = excluded.state, record = excluded.record",
      soci::use(rollout), soci::use(device), soci::use(state), soci::use(record);
}

}  // namespace

absl::StatusOr<AssignmentRecord> Store::AssignRelease(
    std::string_view device_id, std::string_view model, std::string_view manifest_digest,
    std::string_view rollout, const std::function<absl::StatusOr<v1::Signed>(uint64_t release)>& sign) {
  AssignmentRecord result{.device_id = std::string(device_id),
                          .model = std::string(model),
                          .release = 0,
                          .manifest_digest = std::string(manifest_digest),
                          .rollout = std::string(rollout),
                          .statement = {}};
  QF_RETURN_IF_ERROR(Write([&](soci::session& sql) -> absl::Status {
    long long last = 0;
    sql << "SELECT COALESCE(MAX(release_number), 0) FROM assignments WHERE device = :d AND model = :m",
        soci::use(result.device_id), soci::use(result.model), soci::into(last);
    result.release = static_cast<uint64_t>(last) + 1;
    QF_ASSIGN_OR_RETURN(result.statement, sign(result.release));
    const long long release = last + 1;
    const std::string digest = ToHex(AsBytes(manifest_digest)), statement = Pack(result.statement);
    sql << "INSERT INTO assignments (device, model, release_number, manifest_digest, rollout, statement)"
           " VALUES (:d, :m, :n, :h, :r, :s) ON CONFLICT (device, model) DO UPDATE SET"
           " release_number = excluded.release_number, manifest_digest = excluded.manifest_digest,"
           " rollout = excluded.rollout, statement = excluded.statement",
        soci::use(result.device_id), soci::use(result.model), soci::use(release), soci::use(digest),
        soci::use(result.rollout), soci::use(statement);
    Note(Change::Kind::kAssignment, device_id);
    return absl::OkStatus();
  }));
  return result;
}

absl::StatusOr<std::vector<AssignmentRecord>> Store::ListAssignments(std::string_view device_id) {
  std::vector<AssignmentRecord> assignments;
  QF_RETURN_IF_ERROR(Read([&](soci::session& sql) -> absl::Status {
    const std::string device(device_id);
    std::string model, digest, rollout, statement;
    long long release = 0;
    soci::statement rows = (sql.prepare << "SELECT model, release_number, manifest_digest, rollout, statement"
                                           " FROM assignments WHERE device = :d ORDER BY model",
                            soci::use(device), soci::into(model), soci::into(release), soci::into(digest),
                            soci::into(rollout), soci::into(statement));
    rows.execute();
    while (rows.fetch()) {
      QF_ASSIGN_OR_RETURN(v1::Signed unpacked, Unpack<v1::Signed>(statement));
      const auto raw = FromHex(digest);
      if (!raw) return DataLoss("the database holds a damaged assignment of device {}", device);
      assignments.push_back({device, model, static_cast<uint64_t>(release), std::string(AsText(*raw)),
                             rollout, std::move(unpacked)});
    }
    return absl::OkStatus();
  }));
  return assignments;
}

absl::StatusOr<bool> Store::IsAssigned(std::string_view device_id, std::string_view manifest_digest) {
  long long count = 0;
  QF_RETURN_IF_ERROR(Read([&](soci::session& sql) -> absl::Status {
    const std::string device(device_id), digest = ToHex(AsBytes(manifest_digest));
    sql << "SELECT COUNT(*) FROM assignments WHERE device = :d AND manifest_digest = :h", soci::use(device),
        soci::use(digest), soci::into(count);
    return absl::OkStatus();
  }));
  return count > 0;
}

absl::StatusOr<v1::Rollout> Store::CreateRollout(const v1::Rollout& rollout, const Request& request) {
  v1::Rollout result = rollout;
  QF_RETURN_IF_ERROR(Write([&](soci::session& sql) -> absl::Status {
    if (auto known = FindRequestIn(sql, request)) {
      QF_ASSIGN_OR_RETURN(result, SelectWholeRollout(sql, *known));
      return absl::OkStatus();
    }
    const std::string name = rollout.name(), model = rollout.model();
    const int state = rollout.state();
    const long long created = rollout.created_ms(), finished = rollout.finished_ms(),
                    position = NextPosition(sql, "rollouts");
    sql << "INSERT INTO rollouts (name, model, state, created_ms, finished_ms, position) VALUES (:n, :m, :s, "
           ":c, :f, :p)",
        soci::use(name), soci::use(model), soci::use(state), soci::use(created), soci::use(finished),
        soci::use(position);
    for (const v1::RolloutDevice& device : rollout.devices()) UpsertRolloutDevice(sql, name, device);
    RecordRequest(sql, request, name);
    Note(Change::Kind::kRollout, name);
    return absl::OkStatus();
  }));
  return result;
}

absl::StatusOr<v1::Rollout> Store::GetRollout(std::string_view name) {
  v1::Rollout rollout;
  QF_RETURN_IF_ERROR(Read([&](soci::session& sql) -> absl::Status {
    QF_ASSIGN_OR_RETURN(rollout, SelectWholeRollout(sql, std::string(name)));
    return absl::OkStatus();
  }));
  return rollout;
}

absl::StatusOr<std::vector<v1::Rollout>> Store::ListRollouts() {
  std::vector<v1::Rollout> rollouts;
  QF_RETURN_IF_ERROR(Read([&](soci::session& sql) -> absl::Status {
    for (const std::string& name : SelectTexts(sql, "SELECT name FROM rollouts ORDER BY position DESC")) {
      QF_ASSIGN_OR_RETURN(v1::Rollout rollout, SelectWholeRollout(sql, name));
      rollouts.push_back(std::move(rollout));
    }
    return absl::OkStatus();
  }));
  return rollouts;
}

absl::Status Store::SetRolloutState(std::string_view name, v1::Rollout::State state, int64_t finished_ms) {
  return Write([&](soci::session& sql) -> absl::Status {
    const std::string key(name);
    QF_RETURN_IF_ERROR(SelectRollout(sql, key).status());
    const int number = state;
    const long long finished = finished_ms;
    sql << "UPDATE rollouts SET state = :s, finished_ms = :f WHERE name = :n", soci::use(number),
        soci::use(finished), soci::use(key);
    Note(Change::Kind::kRollout, name);
    return absl::OkStatus();
  });
}

absl::StatusOr<std::vector<Store::RolloutRow>> Store::ListRunningRolloutsOf(std::string_view device_id) {
  std::vector<RolloutRow> result;
  QF_RETURN_IF_ERROR(Read([&](soci::session& sql) -> absl::Status {
    const std::string device(device_id);
    const int running = v1::Rollout::RUNNING;
    std::string name, model, record;
    soci::statement rows =
        (sql.prepare << "SELECT r.name, r.model, d.record FROM rollout_devices d"
                        " JOIN rollouts r ON r.name = d.rollout"
                        " WHERE d.device = :d AND r.state = :s ORDER BY r.position",
         soci::use(device), soci::use(running), soci::into(name), soci::into(model), soci::into(record));
    rows.execute();
    while (rows.fetch()) {
      QF_ASSIGN_OR_RETURN(v1::RolloutDevice row, Unpack<v1::RolloutDevice>(record));
      result.push_back({name, model, std::move(row)});
    }
    return absl::OkStatus();
  }));
  return result;
}

absl::Status Store::PutRolloutDevice(std::string_view rollout, const v1::RolloutDevice& device) {
  return Write([&](soci::session& sql) -> absl::Status {
    const std::string name(rollout);
    QF_RETURN_IF_ERROR(SelectRollout(sql, name).status());
    UpsertRolloutDevice(sql, name, device);
    Note(Change::Kind::kRollout, name);
    return absl::OkStatus();
  });
}

absl::StatusOr<std::map<v1::RolloutDevice::State, uint64_t>> Store::CountRolloutDevices(
    std::string_view rollout) {
  std::map<v1::RolloutDevice::State, uint64_t> counts;
  QF_RETURN_IF_ERROR(Read([&](soci::session& sql) -> absl::Status {
    const std::string name(rollout);
    int state = 0;
    long long n = 0;
    soci::statement rows =
        (sql.prepare << "SELECT state, COUNT(*) FROM rollout_devices WHERE rollout = :r GROUP BY state",
         soci::use(name), soci::into(state), soci::into(n));
    rows.execute();
    while (rows.fetch()) counts[static_cast<v1::RolloutDevice::State>(state)] = static_cast<uint64_t>(n);
    return absl::OkStatus();
  }));
  return counts;
}

}  // namespace quantfleet::daemon
