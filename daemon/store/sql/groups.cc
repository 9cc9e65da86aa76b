// Groups of devices.
#include <soci/soci.h>

#include <algorithm>

#include "daemon/store/sql/records.h"
#include "daemon/store/sql/subject.h"

namespace quantfleet::daemon {
namespace {

absl::StatusOr<v1::DeviceGroup> SelectGroup(soci::session& sql, const std::string& name) {
  std::string record;
  sql << "SELECT record FROM device_groups WHERE name = :n", soci::use(name), soci::into(record);
  if (!sql.got_data())
    return NotFound(
        "group \"{0}\" does not exist: create it with `quantfleet group apply {0} --selector "
        "KEY=VALUE`",
        name);
  return Unpack<v1::DeviceGroup>(record);
}

bool UsesGroup(const v1::Rollout& rollout, const std::string& name) {
  return rollout.group() == name ||
         std::ranges::any_of(rollout.plan().phases(),
                             [&](const v1::RolloutPhase& p) { return p.group() == name; });
}

class SqlGroupStore final : public GroupStore, private SqlSubject {
 public:
  explicit SqlGroupStore(SqlContext& context) : SqlSubject(context) {}

  absl::StatusOr<v1::DeviceGroup> Get(std::string_view name) const override;
  absl::StatusOr<std::vector<v1::DeviceGroup>> List() const override;
  absl::Status Put(const v1::DeviceGroup& group) override;
  absl::StatusOr<v1::DeviceGroup> Delete(std::string_view name) override;
};

}  // namespace

absl::Status SqlGroupStore::Put(const v1::DeviceGroup& group) {
  return Write([&](soci::session& sql) -> absl::Status {
    const std::string name = group.name(), record = Pack(group);
    sql << "INSERT INTO device_groups (name, record) VALUES (:n, :r)"
           " ON CONFLICT (name) DO UPDATE SET record = excluded.record",
        soci::use(name), soci::use(record);
    Note(Change::Kind::kGroup, name);
    return absl::OkStatus();
  });
}

absl::StatusOr<v1::DeviceGroup> SqlGroupStore::Get(std::string_view name) const {
  v1::DeviceGroup group;
  QF_RETURN_IF_ERROR(Read([&](soci::session& sql) -> absl::Status {
    QF_ASSIGN_OR_RETURN(group, SelectGroup(sql, std::string(name)));
    return absl::OkStatus();
  }));
  return group;
}

absl::StatusOr<std::vector<v1::DeviceGroup>> SqlGroupStore::List() const {
  std::vector<v1::DeviceGroup> groups;
  QF_RETURN_IF_ERROR(Read([&](soci::session&) -> absl::Status {
    groups = SelectAll<v1::DeviceGroup>(context_, "device group",
                                        "SELECT name, record FROM device_groups");
    SortBy(groups, &v1::DeviceGroup::name);
    return absl::OkStatus();
  }));
  return groups;
}

absl::StatusOr<v1::DeviceGroup> SqlGroupStore::Delete(std::string_view name) {
  v1::DeviceGroup group;
  QF_RETURN_IF_ERROR(Write([&](soci::session& sql) -> absl::Status {
    const std::string key(name);
    auto found = SelectGroup(sql, key);
    if (absl::IsDataLoss(found.status()))
      group.set_name(key);  // what cannot be read can be deleted
    else if (!found.ok())
      return found.status();
    else
      group = *std::move(found);
    const char* const unfinished =
        "SELECT name FROM rollouts WHERE finished_ms = 0 ORDER BY position";
    for (const std::string& rollout : SelectTexts(sql, unfinished)) {
      QF_ASSIGN_OR_RETURN(const v1::Rollout record, transaction().rollouts().GetRecord(rollout));
      if (UsesGroup(record, key))
        return FailedPrecondition("group {} is used by {}: wait until that has ended, or abort it",
                                  key, rollout);
    }
    sql << "DELETE FROM device_groups WHERE name = :n", soci::use(key);
    Note(Change::Kind::kGroup, key);
    return absl::OkStatus();
  }));
  return group;
}

std::unique_ptr<GroupStore> MakeGroupStore(SqlContext& context) {
  return std::make_unique<SqlGroupStore>(context);
}

}  // namespace quantfleet::daemon
