// Devices, the model statuses that they report, and when they were last heard of.
#include <google/protobuf/util/message_differencer.h>
#include <soci/soci.h>

#include "daemon/store/sql/prepared.h"
#include "daemon/store/sql/records.h"
#include "daemon/store/sql/store.h"

namespace quantfleet::daemon {
namespace {

using google::protobuf::util::MessageDifferencer;

constexpr int64_t kSeenFlushMs = 30'000;

struct DeviceRow {
  std::string record, public_key;
  long long seen_ms = 0;
};

absl::StatusOr<DeviceRow> SelectDevice(Statements& statements, const std::string& id) {
  const auto rows = statements.Select<std::string, std::string, long long>(
      "SELECT record, public_key, last_seen_ms FROM devices WHERE id = :i", id);
  if (rows.empty()) return NotFound("there is no device \"{}\"", id);
  const auto& [record, public_key, seen_ms] = rows.front();
  return DeviceRow{record, public_key, seen_ms};
}

// The device's own fields: what the record holds.
v1::Device OwnFields(const v1::Device& device) {
  v1::Device own = device;
  own.clear_models();
  own.clear_last_seen_ms();
  return own;
}

// What a key that comes again keeps of its device.
void KeepOfOld(const v1::Device& old, v1::Device& device) {
  device.set_id(old.id());
  device.set_enrolled_ms(old.enrolled_ms());
  if (!old.facts().hardware_id().empty())
    device.mutable_facts()->set_hardware_id(old.facts().hardware_id());
  if (device.pinned_class().empty()) device.set_pinned_class(old.pinned_class());
  if (device.admitted_by().empty()) device.set_admitted_by(old.admitted_by());
  for (const auto& [label, value] : old.labels()) device.mutable_labels()->insert({label, value});
  *device.mutable_outgrown() = old.outgrown();
  device.set_trust_root_version(old.trust_root_version());
}

const v1::ModelStatus* FindStatus(const v1::Device& device, const std::string& model) {
  for (const v1::ModelStatus& status : device.models())
    if (status.model() == model) return &status;
  return nullptr;
}

// Writes the statuses that differ between `before` and `after`; whether there was one.
bool WriteStatuses(soci::session& sql, const v1::Device& before, const v1::Device& after) {
  const std::string id = after.id();
  bool changed = false;
  for (const v1::ModelStatus& status : after.models()) {
    const v1::ModelStatus* old = FindStatus(before, status.model());
    if (old != nullptr && MessageDifferencer::Equals(*old, status)) continue;
    const std::string model = status.model(), record = Pack(status);
    sql << "INSERT INTO model_statuses (device, model, record) VALUES (:d, :m, :r)"
           " ON CONFLICT (device, model) DO UPDATE SET record = excluded.record",
        soci::use(id), soci::use(model), soci::use(record);
    changed = true;
  }
  for (const v1::ModelStatus& status : before.models()) {
    if (FindStatus(after, status.model()) != nullptr) continue;
    const std::string model = status.model();
    sql << "DELETE FROM model_statuses WHERE device = :d AND model = :m", soci::use(id),
        soci::use(model);
    changed = true;
  }
  return changed;
}

}  // namespace

absl::Status Store::FillDevice(v1::Device& device, int64_t seen_ms) {
  const std::string id = device.id();
  device.clear_models();
  for (const auto& [record] : statements_->Select<std::string>(
           "SELECT record FROM model_statuses WHERE device = :d ORDER BY model", id)) {
    QF_ASSIGN_OR_RETURN(*device.add_models(), Unpack<v1::ModelStatus>(record));
  }
  std::lock_guard lock(seen_mutex_);
  const auto lately = seen_.find(id);
  device.set_last_seen_ms(lately == seen_.end() ? seen_ms : std::max(seen_ms, lately->second));
  return absl::OkStatus();
}

absl::StatusOr<Store::KeyedDevice> Store::GetDeviceWithKey(std::string_view id) {
  KeyedDevice keyed;
  QF_RETURN_IF_ERROR(Read([&](soci::session&) -> absl::Status {
    QF_ASSIGN_OR_RETURN(const DeviceRow row, SelectDevice(*statements_, std::string(id)));
    QF_ASSIGN_OR_RETURN(keyed.device, Unpack<v1::Device>(row.record));
    QF_ASSIGN_OR_RETURN(keyed.public_key, Digest::FromHexText(row.public_key));
    return FillDevice(keyed.device, row.seen_ms);
  }));
  return keyed;
}

absl::StatusOr<v1::Device> Store::GetDevice(std::string_view id) {
  QF_ASSIGN_OR_RETURN(KeyedDevice keyed, GetDeviceWithKey(id));
  return std::move(keyed.device);
}

absl::StatusOr<v1::Device> Store::FindDeviceByKey(const Digest& public_key) {
  v1::Device device;
  QF_RETURN_IF_ERROR(Read([&](soci::session& sql) -> absl::Status {
    const std::string key = public_key.hex();
    std::string record;
    long long seen_ms = 0;
    sql << "SELECT record, last_seen_ms FROM devices WHERE public_key = :k", soci::use(key),
        soci::into(record), soci::into(seen_ms);
    if (!sql.got_data()) return NotFound("no device has the key {}", key);
    QF_ASSIGN_OR_RETURN(device, Unpack<v1::Device>(record));
    return FillDevice(device, seen_ms);
  }));
  return device;
}

absl::StatusOr<Digest> Store::DeviceKey(std::string_view id) {
  QF_ASSIGN_OR_RETURN(const KeyedDevice keyed, GetDeviceWithKey(id));
  return keyed.public_key;
}

absl::StatusOr<v1::Device> Store::CreateDevice(const Enrollment& enrollment) {
  v1::Device device = enrollment.device;
  QF_RETURN_IF_ERROR(Write([&](soci::session& sql) -> absl::Status {
    const std::string key = enrollment.public_key.hex();
    std::string admission = enrollment.admission, old_admission, old_record;
    sql << "SELECT admission, record FROM devices WHERE public_key = :k", soci::use(key),
        soci::into(old_admission), soci::into(old_record);
    if (sql.got_data()) {
      QF_ASSIGN_OR_RETURN(const v1::Device old, Unpack<v1::Device>(old_record));
      if (old.state() == v1::Device::REVOKED)
        return PermissionDenied("device {} has been revoked: enroll with a new key", old.id());
      KeepOfOld(old, device);
      if (admission.empty()) admission = old_admission;
    }
    const std::string id = device.id(), hardware = device.facts().hardware_id(),
                      record = Pack(OwnFields(device));
    const long long seen = enrollment.now_ms;
    sql << "INSERT INTO devices (id, public_key, admission, hardware, last_seen_ms, record)"
           " VALUES (:i, :k, :a, :h, :s, :r)"
           " ON CONFLICT (public_key) DO UPDATE SET admission = excluded.admission, hardware = "
           "excluded.hardware,"
           " last_seen_ms = excluded.last_seen_ms, record = excluded.record",
        soci::use(id), soci::use(key), soci::use(admission), soci::use(hardware), soci::use(seen),
        soci::use(record);
    sql << "DELETE FROM allowed_devices WHERE id = :i", soci::use(id);
    sql << "DELETE FROM pending_devices WHERE id = :i", soci::use(id);
    Note(Change::Kind::kDevice, id);
    return FillDevice(device, seen);
  }));
  return device;
}

absl::StatusOr<std::vector<v1::Device>> Store::FindDevicesByHardware(std::string_view hardware_id) {
  return FindDevices("hardware", hardware_id);
}

absl::StatusOr<std::vector<v1::Device>> Store::FindDevicesByAdmission(std::string_view admission) {
  return FindDevices("admission", admission);
}

absl::StatusOr<std::vector<v1::Device>> Store::FindDevices(const std::string& column,
                                                           std::string_view value) {
  return SelectDevices(column + " = :v ORDER BY id", value, -1);
}

absl::StatusOr<std::vector<v1::Device>> Store::ListDevices(std::string_view after, size_t limit) {
  return SelectDevices("id > :v ORDER BY id", after, static_cast<int64_t>(limit));
}

absl::StatusOr<std::vector<v1::Device>> Store::SelectDevices(const std::string& where,
                                                             std::string_view value,
                                                             int64_t limit) {
  std::vector<v1::Device> devices;
  QF_RETURN_IF_ERROR(Read([&](soci::session& sql) -> absl::Status {
    const std::string wanted(value);
    const long long most = limit;
    std::string record;
    long long seen_ms = 0;
    soci::statement rows =
        (sql.prepare << "SELECT record, last_seen_ms FROM devices WHERE " << where << " LIMIT :n",
         soci::use(wanted), soci::use(most), soci::into(record), soci::into(seen_ms));
    rows.execute();
    while (rows.fetch()) {
      QF_ASSIGN_OR_RETURN(v1::Device device, Unpack<v1::Device>(record));
      QF_RETURN_IF_ERROR(FillDevice(device, seen_ms));
      devices.push_back(std::move(device));
    }
    return absl::OkStatus();
  }));
  return devices;
}

absl::StatusOr<v1::Device> Store::UpdateDevice(
    std::string_view id, const std::function<absl::Status(v1::Device&)>& change) {
  v1::Device device;
  QF_RETURN_IF_ERROR(Write([&](soci::session& sql) -> absl::Status {
    QF_ASSIGN_OR_RETURN(const DeviceRow row, SelectDevice(*statements_, std::string(id)));
    QF_ASSIGN_OR_RETURN(v1::Device before, Unpack<v1::Device>(row.record));
    QF_RETURN_IF_ERROR(FillDevice(before, row.seen_ms));
    device = before;
    QF_RETURN_IF_ERROR(change(device));
    device.set_id(before.id());
    device.set_last_seen_ms(before.last_seen_ms());
    if (!before.facts().hardware_id().empty())
      device.mutable_facts()->set_hardware_id(before.facts().hardware_id());
    bool changed = WriteStatuses(sql, before, device);
    const v1::Device own = OwnFields(device);
    if (!MessageDifferencer::Equals(OwnFields(before), own)) {
      const std::string name = device.id(), hardware = device.facts().hardware_id(),
                        record = Pack(own);
      statements_->Execute("UPDATE devices SET record = :r, hardware = :h WHERE id = :i", record,
                           hardware, name);
      changed = true;
    }
    if (changed) Note(Change::Kind::kDevice, id);
    return absl::OkStatus();
  }));
  return device;
}

void Store::TouchDevice(std::string_view id, int64_t now_ms) {
  bool due = false;
  {
    std::lock_guard lock(seen_mutex_);
    if (seen_.empty()) oldest_seen_ms_ = now_ms;
    const auto at = seen_.find(id);
    if (at == seen_.end())
      seen_.emplace(id, now_ms);
    else
      at->second = std::max(at->second, now_ms);
    due = now_ms - oldest_seen_ms_ >= kSeenFlushMs;
    if (due)
      oldest_seen_ms_ = now_ms;  // one caller writes, and after a failure half a minute passes
  }
  // What cannot be written now is kept for the next time.
  if (due) (void)FlushLastSeen();
}

absl::Status Store::FlushLastSeen() {
  std::map<std::string, int64_t, std::less<>> seen;
  {
    std::lock_guard lock(seen_mutex_);
    seen = seen_;
  }
  if (seen.empty()) return absl::OkStatus();
  QF_RETURN_IF_ERROR(Write([&](soci::session& sql) -> absl::Status {
    std::string id;
    long long at = 0;
    soci::statement update =
        (sql.prepare << "UPDATE devices SET last_seen_ms = :t WHERE id = :i AND last_seen_ms < :t2",
         soci::use(at), soci::use(id), soci::use(at));
    for (const auto& [device, time] : seen) {
      id = device;
      at = time;
      update.execute(true);
    }
    return absl::OkStatus();
  }));
  std::lock_guard lock(seen_mutex_);
  for (const auto& [device, time] : seen) {
    const auto kept = seen_.find(device);
    if (kept != seen_.end() && kept->second == time) seen_.erase(kept);
  }
  return absl::OkStatus();
}

}  // namespace quantfleet::daemon
