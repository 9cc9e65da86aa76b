// Devices, the model statuses that they report, and when they were last heard of.
#include <google/protobuf/util/message_differencer.h>
#include <soci/soci.h>

#include "daemon/store/records.h"
#include "daemon/store/store.h"

namespace quantfleet::daemon {
namespace {

using google::protobuf::util::MessageDifferencer;

constexpr int64_t kSeenFlushMs = 30'000;

struct DeviceRow {
  std::string record, public_key;
  long long seen_ms = 0;
};

absl::StatusOr<DeviceRow> SelectDevice(soci::session& sql, const std::string& id) {
  DeviceRow row;
  sql << "SELECT record, public_key, last_seen_ms FROM devices WHERE id = :i", soci::use(id), soci::into(row.record),
      soci::into(row.public_key), soci::into(row.seen_ms);
  if (!sql.got_data()) return NotFound("there is no device \"{}\"", id);
  return row;
}

// The device's own fields: what the record holds.
v1::Device OwnFields(const v1::Device& device) {
  v1::Device own = device;
  own.clear_models();
  own.clear_last_seen_ms();
  return own;
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
    sql << "DELETE FROM model_statuses WHERE device = :d AND model = :m", soci::use(id), soci::use(model);
    changed = true;
  }
  return changed;
}

}  // namespace

absl::Status Store::FillDevice(soci::session& sql, v1::Device& device, int64_t seen_ms) {
  const std::string id = device.id();
  QF_ASSIGN_OR_RETURN(auto statuses,
                      SelectAll<v1::ModelStatus>(
                          sql, "SELECT record FROM model_statuses WHERE device = :d ORDER BY model", id));
  device.clear_models();
  for (v1::ModelStatus& status : statuses) *device.add_models() = std::move(status);
  std::lock_guard lock(seen_mutex_);
  const auto lately = seen_.find(id);
  device.set_last_seen_ms(lately == seen_.end() ? seen_ms : std::max(seen_ms, lately->second));
  return absl::OkStatus();
}

absl::StatusOr<Store::KeyedDevice> Store::GetDeviceWithKey(std::string_view id) {
  KeyedDevice keyed;
  QF_RETURN_IF_ERROR(Read([&](soci::session& sql) -> absl::Status {
    QF_ASSIGN_OR_RETURN(const DeviceRow row, SelectDevice(sql, std::string(id)));
    QF_ASSIGN_OR_RETURN(keyed.device, Unpack<v1::Device>(row.record));
    QF_ASSIGN_OR_RETURN(keyed.public_key, Digest::FromHexText(row.public_key));
    return FillDevice(sql, keyed.device, row.seen_ms);
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
    sql << "SELECT record, last_seen_ms FROM devices WHERE public_key = :k", soci::use(key), soci::into(record),
        soci::into(seen_ms);
    if (!sql.got_data()) return NotFound("no device has the key {}", key);
    QF_ASSIGN_OR_RETURN(device, Unpack<v1::Device>(record));
    return FillDevice(sql, device, seen_ms);
  }));
  return device;
}

absl::StatusOr<Digest> Store::DeviceKey(std::string_view id) {
  QF_ASSIGN_OR_RETURN(const KeyedDevice keyed, GetDeviceWithKey(id));
  return keyed.public_key;
}

absl::StatusOr<std::vector<v1::Device>> Store::ListDevices(std::string_view after, size_t limit) {
  std::vector<v1::Device> devices;
  QF_RETURN_IF_ERROR(Read([&](soci::session& sql) -> absl::Status {
    const std::string from(after);
    const long long most = static_cast<long long>(limit);
    std::string record;
    long long seen_ms = 0;
    soci::statement rows =
        (sql.prepare << "SELECT record, last_seen_ms FROM devices WHERE id > :a ORDER BY id LIMIT :n",
         soci::use(from), soci::use(most), soci::into(record), soci::into(seen_ms));
    rows.execute();
    while (rows.fetch()) {
      QF_ASSIGN_OR_RETURN(v1::Device device, Unpack<v1::Device>(record));
      QF_RETURN_IF_ERROR(FillDevice(sql, device, seen_ms));
      devices.push_back(std::move(device));
    }
    return absl::OkStatus();
  }));
  return devices;
}

absl::StatusOr<v1::Device> Store::UpdateDevice(std::string_view id,
                                               const std::function<absl::Status(v1::Device&)>& change) {
  v1::Device device;
  QF_RETURN_IF_ERROR(Write([&](soci::session& sql) -> absl::Status {
    QF_ASSIGN_OR_RETURN(const DeviceRow row, SelectDevice(sql, std::string(id)));
    QF_ASSIGN_OR_RETURN(v1::Device before, Unpack<v1::Device>(row.record));
    QF_RETURN_IF_ERROR(FillDevice(sql, before, row.seen_ms));
    device = before;
    QF_RETURN_IF_ERROR(change(device));
    device.set_id(before.id());
    device.set_last_seen_ms(before.last_seen_ms());
    bool changed = WriteStatuses(sql, before, device);
    const v1::Device own = OwnFields(device);
    if (!MessageDifferencer::Equals(OwnFields(before), own)) {
      const std::string name = device.id(), record = Pack(own);
      sql << "UPDATE devices SET record = :r WHERE id = :i", soci::use(record), soci::use(name);
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
    if (due) oldest_seen_ms_ = now_ms;  // one caller writes, and after a failure half a minute passes
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
