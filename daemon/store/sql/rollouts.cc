// Rollouts as a whole.
#include <soci/soci.h>

#include <limits>

#include "daemon/store/sql/records.h"
#include "daemon/store/sql/rollout_states.h"
#include "daemon/store/sql/rollout_store.h"

namespace quantfleet::daemon {
namespace {

// A rollout without its devices.
absl::StatusOr<v1::Rollout> SelectRecord(soci::session& sql, const std::string& name) {
  std::string model, record;
  int state = 0;
  long long created = 0, finished = 0;
  sql << "SELECT model, state, created_ms, finished_ms, record FROM rollouts WHERE name = :n",
      soci::use(name), soci::into(model), soci::into(state), soci::into(created),
      soci::into(finished), soci::into(record);
  if (!sql.got_data()) return NotFound("there is no rollout \"{}\"", name);
  auto unpacked = Unpack<v1::Rollout>(record);
  if (!record.empty() && unpacked.ok()) return unpacked;
  // From before there were phases: all at once. Or what is left of one whose record is damaged: it
  // does nothing by itself any more, and the devices in it are not held up.
  v1::Rollout rollout;
  rollout.set_name(name);
  rollout.set_model(model);
  rollout.set_state(static_cast<v1::Rollout::State>(state));
  rollout.set_created_ms(created);
  rollout.set_finished_ms(finished);
  rollout.set_phase_open(true);
  rollout.mutable_plan()->add_phases();
  if (!record.empty() && finished == 0) {
    rollout.set_state(v1::Rollout::PAUSED);
    rollout.set_reason(
        "its record is damaged and its plan lost: abort it and create another one; resumed, it "
        "goes "
        "on to all of its devices at once");
  }
  return rollout;
}

std::string PackRecord(const v1::Rollout& rollout) {
  v1::Rollout record = rollout;
  record.clear_devices();
  record.clear_counts();
  record.clear_estimate();
  record.clear_measured();
  return Pack(record);
}

}  // namespace

absl::StatusOr<v1::Rollout> SqlRolloutStore::SelectSummary(soci::session& sql,
                                                           const std::string& name) const {
  QF_ASSIGN_OR_RETURN(v1::Rollout rollout, SelectRecord(sql, name));
  QF_ASSIGN_OR_RETURN(const std::vector<Count> counts, CountDevices(name));
  for (const Count& count : counts) {
    v1::RolloutCount& out = *rollout.add_counts();
    out.set_phase(count.phase);
    out.set_state(count.state);
    out.set_devices(count.devices);
  }
  return rollout;
}

absl::StatusOr<v1::Rollout> SqlRolloutStore::Create(const v1::Rollout& rollout,
                                                    const Request& request) {
  v1::Rollout result = rollout;
  QF_RETURN_IF_ERROR(Write([&](soci::session& sql) -> absl::Status {
    QF_ASSIGN_OR_RETURN(const auto known, FindRequest(sql, request));
    if (known) {
      QF_ASSIGN_OR_RETURN(result, Get(*known));
      return absl::OkStatus();
    }
    const std::string name = rollout.name(), model = rollout.model(), record = PackRecord(rollout);
    const int state = rollout.state(), dynamic = rollout.plan().dynamic() ? 1 : 0,
              priority = rollout.plan().priority();
    const long long created = rollout.created_ms(), finished = rollout.finished_ms(),
                    position = NextPosition(sql, "rollouts"),
                    revision = rollout.devices_size();  // each row is a change
    sql << "INSERT INTO rollouts (name, model, state, created_ms, finished_ms, position, record, "
           "dynamic, priority, revision)"
           " VALUES (:n, :m, :s, :c, :f, :p, :r, :d, :i, :v)",
        soci::use(name), soci::use(model), soci::use(state), soci::use(created),
        soci::use(finished), soci::use(position), soci::use(record), soci::use(dynamic),
        soci::use(priority), soci::use(revision);
    for (int i = 0; i < rollout.devices_size(); ++i) WriteRow(sql, name, rollout.devices(i), i + 1);
    RecordRequest(sql, request, name);
    Note(Change::Kind::kRollout, name);
    return absl::OkStatus();
  }));
  return result;
}

absl::StatusOr<v1::Rollout> SqlRolloutStore::Get(std::string_view name) const {
  return GetPage(name, "", std::numeric_limits<int32_t>::max());
}

absl::StatusOr<v1::Rollout> SqlRolloutStore::GetPage(std::string_view name, std::string_view after,
                                                     size_t limit) const {
  v1::Rollout rollout;
  QF_RETURN_IF_ERROR(Read([&](soci::session& sql) -> absl::Status {
    const std::string key(name), from(after);
    QF_ASSIGN_OR_RETURN(rollout, SelectSummary(sql, key));
    const long long most =
        static_cast<long long>(limit) + 1;  // one more tells whether there is a next page
    const size_t damaged = context_.damaged.size();
    auto devices =
        SelectAll<v1::RolloutDevice>(context_, "device of a rollout",
                                     "SELECT device, record FROM rollout_devices WHERE rollout = :r"
                                     " AND device > :a ORDER BY device LIMIT :n",
                                     key, from, most);
    if (devices.size() + context_.damaged.size() - damaged > limit) {
      if (devices.size() > limit) devices.resize(limit);
      // Where nothing could be read, what could not is passed over.
      rollout.set_next_page_token(limit == 0         ? from
                                  : !devices.empty() ? devices.back().device_id()
                                                     : context_.damaged.back().name);
    }
    for (v1::RolloutDevice& device : devices) {
      if (device.state() == v1::RolloutDevice::QUEUED)
        if (const std::string other = SelectWhere(sql, key, device.device_id()); !other.empty())
          device.set_reason(fmt::format("waits: the device is in flight in {}", other));
      *rollout.add_devices() = std::move(device);
    }
    return absl::OkStatus();
  }));
  return rollout;
}

absl::StatusOr<v1::Rollout> SqlRolloutStore::GetChanges(std::string_view name,
                                                        std::optional<uint64_t> revision,
                                                        size_t limit) const {
  v1::Rollout rollout;
  QF_RETURN_IF_ERROR(Read([&](soci::session& sql) -> absl::Status {
    const std::string key(name);
    QF_ASSIGN_OR_RETURN(rollout, SelectSummary(sql, key));
    long long newest = 0;
    sql << "SELECT revision FROM rollouts WHERE name = :r", soci::use(key), soci::into(newest);
    if (revision) {
      const long long since = static_cast<long long>(*revision),
                      most = static_cast<long long>(limit);
      std::string record;
      long long at = 0;
      soci::statement rows =
          (sql.prepare << "SELECT revision, record FROM rollout_devices WHERE rollout = :r"
                          " AND revision > :v ORDER BY revision LIMIT :n",
           soci::use(key), soci::use(since), soci::use(most), soci::into(at), soci::into(record));
      rows.execute();
      while (rows.fetch()) {
        newest = at;
        auto row = Unpack<v1::RolloutDevice>(record);
        if (row.ok()) *rollout.add_devices() = *std::move(row);
      }
    }
    rollout.set_revision(static_cast<uint64_t>(newest));
    return absl::OkStatus();
  }));
  return rollout;
}

absl::StatusOr<v1::Rollout> SqlRolloutStore::GetSummary(std::string_view name) const {
  v1::Rollout summary;
  QF_RETURN_IF_ERROR(Read([&](soci::session& sql) -> absl::Status {
    QF_ASSIGN_OR_RETURN(summary, SelectSummary(sql, std::string(name)));
    return absl::OkStatus();
  }));
  return summary;
}

absl::StatusOr<v1::Rollout> SqlRolloutStore::GetRecord(std::string_view name) const {
  v1::Rollout rollout;
  QF_RETURN_IF_ERROR(Read([&](soci::session& sql) -> absl::Status {
    QF_ASSIGN_OR_RETURN(rollout, SelectRecord(sql, std::string(name)));
    return absl::OkStatus();
  }));
  return rollout;
}

absl::StatusOr<std::vector<v1::Rollout>> SqlRolloutStore::List() const {
  std::vector<v1::Rollout> rollouts;
  QF_RETURN_IF_ERROR(Read([&](soci::session& sql) -> absl::Status {
    for (const std::string& name :
         SelectTexts(sql, "SELECT name FROM rollouts ORDER BY position DESC")) {
      QF_ASSIGN_OR_RETURN(v1::Rollout rollout, SelectSummary(sql, name));
      rollouts.push_back(std::move(rollout));
    }
    return absl::OkStatus();
  }));
  return rollouts;
}

absl::Status SqlRolloutStore::PutRecord(const v1::Rollout& rollout) {
  return Write([&](soci::session& sql) -> absl::Status {
    const std::string name = rollout.name(), record = PackRecord(rollout);
    QF_RETURN_IF_ERROR(SelectRecord(sql, name).status());
    const int state = rollout.state();
    const long long finished = rollout.finished_ms();
    sql << "UPDATE rollouts SET state = :s, finished_ms = :f, record = :r WHERE name = :n",
        soci::use(state), soci::use(finished), soci::use(record), soci::use(name);
    Note(Change::Kind::kRollout, name);
    return absl::OkStatus();
  });
}

absl::StatusOr<std::vector<std::string>> SqlRolloutStore::ListActive() const {
  std::vector<std::string> names;
  QF_RETURN_IF_ERROR(Read([&](soci::session& sql) -> absl::Status {
    names = SelectTexts(sql, "SELECT name FROM rollouts WHERE state IN (" + ActiveStates() +
                                 ") ORDER BY priority DESC, position");
    return absl::OkStatus();
  }));
  return names;
}

absl::StatusOr<std::vector<std::string>> SqlRolloutStore::ListToJoin(
    std::string_view device_id) const {
  std::vector<std::string> names;
  QF_RETURN_IF_ERROR(Read([&](soci::session&) -> absl::Status {
    const std::string device(device_id);
    const int draft = v1::Rollout::DRAFT, outranked = v1::RolloutDevice::OUTRANKED;
    static const std::string query =
        "SELECT r.name FROM rollouts r WHERE r.dynamic = 1 AND r.state IN (" + JoinableStates() +
        ") AND NOT EXISTS (SELECT 1 FROM rollout_devices d JOIN rollouts n ON n.name = d.rollout"
        " WHERE d.device = :d AND n.model = r.model AND n.position >= r.position AND n.state <> :s"
        " AND d.code <> :c) ORDER BY r.position DESC";
    for (auto& [name] : prepared().Select<std::string>(query, device, draft, outranked))
      names.push_back(name);
    return absl::OkStatus();
  }));
  return names;
}

std::unique_ptr<RolloutStore> MakeRolloutStore(SqlContext& context) {
  return std::make_unique<SqlRolloutStore>(context);
}

}  // namespace quantfleet::daemon
