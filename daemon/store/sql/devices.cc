// Devices, the model statuses that they report, and when they were last seen.
#include <google/protobuf/util/message_differencer.h>
#include <soci/soci.h>

#include <algorithm>
#include <optional>

#include "daemon/store/sql/records.h"
#include "daemon/store/sql/subject.h"

namespace quantfleet::daemon {
namespace {

using google::protobuf::util::MessageDifferencer;

struct DeviceRow {
  std::string record, public_key;
  long long seen_ms = 0;
};

absl::StatusOr<DeviceRow> SelectDevice(Prepared& prepared, const std::string& id) {
  const auto rows = prepared.Select<std::string, std::string, long long>(
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

// Writes the statuses that differ between `before` and `after`; returns whether any did.
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

class SqlDeviceStore final : public DeviceStore, private SqlSubject {
 public:
  explicit SqlDeviceStore(SqlContext& context) : SqlSubject(context) {}

  absl::StatusOr<Keyed> GetWithKey(std::string_view id) const override;
  absl::StatusOr<v1::Device> Get(std::string_view id) const override;
  absl::StatusOr<v1::Device> FindByKey(const Digest& public_key) const override;
  absl::StatusOr<std::vector<v1::Device>> FindByHardware(
      std::string_view hardware_id) const override;
  absl::StatusOr<std::vector<v1::Device>> FindByAdmission(
      std::string_view admission) const override;
  absl::StatusOr<std::vector<v1::Device>> List(std::string_view after, size_t limit) const override;
  absl::StatusOr<v1::Device> Create(const Enrollment& enrollment) override;
  using DeviceStore::Update;
  absl::StatusOr<v1::Device> Update(
      const v1::Device& before, const std::function<absl::Status(v1::Device&)>& change) override;
  absl::Status Rewrite(const v1::Device& device) override;
  void Touch(const v1::Device& device, int64_t now_ms) override;

 private:
  // Inside Read or Write. `seen_ms`: as the devices' table has it.
  absl::Status FillDevice(v1::Device& device, int64_t seen_ms) const;
  // `where` has one parameter, and the order; limit nullopt: all.
  absl::StatusOr<std::vector<v1::Device>> SelectDevices(const std::string& where,
                                                        std::string_view value,
                                                        std::optional<size_t> limit) const;
  absl::StatusOr<std::vector<v1::Device>> FindDevices(const std::string& column,
                                                      std::string_view value) const;
};

}  // namespace

absl::Status SqlDeviceStore::FillDevice(v1::Device& device, int64_t seen_ms) const {
  const std::string id = device.id();
  device.clear_models();
  for (const auto& [record] :
       prepared().Select<std::string>("SELECT record FROM model_statuses WHERE device = :d", id)) {
    // What cannot be read is reported again at the next check-in.
    if (auto status = Unpack<v1::ModelStatus>(record); status.ok())
      *device.add_models() = *std::move(status);
  }
  std::ranges::sort(*device.mutable_models(), {}, &v1::ModelStatus::model);
  device.set_last_seen_ms(context_.last_seen.Latest(id, seen_ms));
  return absl::OkStatus();
}

absl::StatusOr<DeviceStore::Keyed> SqlDeviceStore::GetWithKey(std::string_view id) const {
  Keyed keyed;
  QF_RETURN_IF_ERROR(Read([&](soci::session&) -> absl::Status {
    QF_ASSIGN_OR_RETURN(const DeviceRow row, SelectDevice(prepared(), std::string(id)));
    QF_ASSIGN_OR_RETURN(keyed.device, Unpack<v1::Device>(row.record));
    QF_ASSIGN_OR_RETURN(keyed.public_key, Digest::FromHexText(row.public_key));
    return FillDevice(keyed.device, row.seen_ms);
  }));
  return keyed;
}

absl::StatusOr<v1::Device> SqlDeviceStore::Get(std::string_view id) const {
  QF_ASSIGN_OR_RETURN(Keyed keyed, GetWithKey(id));
  return std::move(keyed.device);
}

absl::StatusOr<v1::Device> SqlDeviceStore::FindByKey(const Digest& public_key) const {
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

absl::StatusOr<v1::Device> SqlDeviceStore::Create(const Enrollment& enrollment) {
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

absl::StatusOr<std::vector<v1::Device>> SqlDeviceStore::FindByHardware(
    std::string_view hardware_id) const {
  return FindDevices("hardware", hardware_id);
}

absl::StatusOr<std::vector<v1::Device>> SqlDeviceStore::FindByAdmission(
    std::string_view admission) const {
  return FindDevices("admission", admission);
}

absl::StatusOr<std::vector<v1::Device>> SqlDeviceStore::FindDevices(const std::string& column,
                                                                    std::string_view value) const {
  return SelectDevices(column + " = :v ORDER BY id", value, std::nullopt);
}

absl::StatusOr<std::vector<v1::Device>> SqlDeviceStore::List(std::string_view after,
                                                             size_t limit) const {
  std::vector<v1::Device> devices;
  // Fewer than `limit` mean that there are no more, so what was left out is made up for.
  for (std::string from(after);;) {
    const size_t wanted = limit - devices.size(), damaged = context_.damaged.size();
    QF_ASSIGN_OR_RETURN(std::vector<v1::Device> page,
                        SelectDevices("id > :v ORDER BY id", from, wanted));
    const size_t left_out = context_.damaged.size() - damaged;
    if (!page.empty()) from = page.back().id();
    if (left_out > 0) from = std::max(from, context_.damaged.back().name);
    const bool all = page.size() + left_out < wanted || left_out == 0;
    std::ranges::move(page, std::back_inserter(devices));
    if (all) return devices;
  }
}

absl::StatusOr<std::vector<v1::Device>> SqlDeviceStore::SelectDevices(
    const std::string& where, std::string_view value, std::optional<size_t> limit) const {
  std::vector<v1::Device> devices;
  QF_RETURN_IF_ERROR(Read([&](soci::session& sql) -> absl::Status {
    const std::string wanted(value);
    const long long most = static_cast<long long>(limit.value_or(0));
    std::string id, record;
    long long seen_ms = 0;
    soci::statement rows(sql);
    rows.alloc();
    rows.prepare("SELECT id, record, last_seen_ms FROM devices WHERE " + where +
                 (limit ? " LIMIT :n" : ""));
    rows.exchange(soci::use(wanted));
    if (limit) rows.exchange(soci::use(most));
    rows.exchange(soci::into(id));
    rows.exchange(soci::into(record));
    rows.exchange(soci::into(seen_ms));
    rows.define_and_bind();
    rows.execute();
    while (rows.fetch()) {
      auto device = Unpack<v1::Device>(record);
      if (!device.ok()) {
        context_.damaged.push_back({"device", id});
        continue;
      }
      QF_RETURN_IF_ERROR(FillDevice(*device, seen_ms));
      devices.push_back(*std::move(device));
    }
    return absl::OkStatus();
  }));
  return devices;
}

absl::StatusOr<v1::Device> SqlDeviceStore::Update(
    const v1::Device& before, const std::function<absl::Status(v1::Device&)>& change) {
  v1::Device device = before;
  QF_RETURN_IF_ERROR(Write([&](soci::session& sql) -> absl::Status {
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
      prepared().Execute("UPDATE devices SET record = :r, hardware = :h WHERE id = :i", record,
                         hardware, name);
      changed = true;
    }
    if (changed) Note(Change::Kind::kDevice, before.id());
    return absl::OkStatus();
  }));
  return device;
}

absl::Status SqlDeviceStore::Rewrite(const v1::Device& device) {
  return Write([&](soci::session& sql) -> absl::Status {
    const std::string id = device.id(), record = Pack(OwnFields(device));
    sql << "UPDATE devices SET record = :r WHERE id = :i", soci::use(record), soci::use(id);
    sql << "DELETE FROM model_statuses WHERE device = :i", soci::use(id);
    Note(Change::Kind::kDevice, id);
    return absl::OkStatus();
  });
}

void SqlDeviceStore::Touch(const v1::Device& device, int64_t now_ms) {
  context_.touched[device.id()] = {now_ms, device.last_seen_ms()};
}

std::unique_ptr<DeviceStore> MakeDeviceStore(SqlContext& context) {
  return std::make_unique<SqlDeviceStore>(context);
}

}  // namespace quantfleet::daemon
