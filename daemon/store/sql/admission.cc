// The allowlist and the pending devices.
#include <soci/soci.h>

#include "daemon/store/sql/records.h"
#include "daemon/store/sql/subject.h"

namespace quantfleet::daemon {
namespace {

long long CountOf(soci::session& sql, const std::string& query) {
  long long count = 0;
  sql << query, soci::into(count);
  return count;
}

absl::StatusOr<std::optional<v1::AllowedDevice>> SelectAllowed(soci::session& sql,
                                                               const std::string& id) {
  std::string record;
  sql << "SELECT record FROM allowed_devices WHERE id = :i", soci::use(id), soci::into(record);
  if (!sql.got_data()) return std::nullopt;
  return Unpack<v1::AllowedDevice>(record);
}

class SqlAdmissionStore final : public AdmissionStore, private SqlSubject {
 public:
  explicit SqlAdmissionStore(SqlContext& context) : SqlSubject(context) {}

  absl::StatusOr<std::optional<v1::AllowedDevice>> FindAllowed(std::string_view id) const override;
  absl::StatusOr<std::vector<v1::AllowedDevice>> ListAllowed(std::string_view after,
                                                             size_t limit) const override;
  absl::StatusOr<std::vector<v1::AllowedDevice>> Allow(
      const std::vector<v1::AllowedDevice>& devices, size_t most) override;
  absl::StatusOr<v1::AllowedDevice> Disallow(std::string_view id) override;
  absl::StatusOr<std::optional<PendingRecord>> FindPending(std::string_view id,
                                                           int64_t now_ms) const override;
  absl::StatusOr<std::vector<v1::PendingDevice>> ListPending(int64_t now_ms) const override;
  absl::Status PutPending(const PendingRecord& pending, size_t most, int64_t now_ms) override;
  absl::Status ForgetPending(std::string_view admission) override;
};

}  // namespace

absl::StatusOr<std::vector<v1::AllowedDevice>> SqlAdmissionStore::Allow(
    const std::vector<v1::AllowedDevice>& devices, size_t most) {
  QF_RETURN_IF_ERROR(Write([&](soci::session& sql) -> absl::Status {
    for (const v1::AllowedDevice& device : devices) {
      const std::string id = device.device_id(), record = Pack(device);
      sql << "INSERT INTO allowed_devices (id, record) VALUES (:i, :r)"
             " ON CONFLICT (id) DO UPDATE SET record = excluded.record",
          soci::use(id), soci::use(record);
      Note(Change::Kind::kDevice, id);
    }
    if (CountOf(sql, "SELECT COUNT(*) FROM allowed_devices") > static_cast<long long>(most))
      return ResourceExhausted(
          "the allowlist may have at most {} devices: remove those that will not enroll, with "
          "`quantfleet device disallow`",
          most);
    return absl::OkStatus();
  }));
  return devices;
}

absl::StatusOr<std::optional<v1::AllowedDevice>> SqlAdmissionStore::FindAllowed(
    std::string_view id) const {
  std::optional<v1::AllowedDevice> device;
  QF_RETURN_IF_ERROR(Read([&](soci::session& sql) -> absl::Status {
    QF_ASSIGN_OR_RETURN(device, SelectAllowed(sql, std::string(id)));
    return absl::OkStatus();
  }));
  return device;
}

absl::StatusOr<std::vector<v1::AllowedDevice>> SqlAdmissionStore::ListAllowed(
    std::string_view after, size_t limit) const {
  std::vector<v1::AllowedDevice> devices;
  QF_RETURN_IF_ERROR(Read([&](soci::session&) -> absl::Status {
    // Fewer than `limit` mean that there are no more, so what was left out is made up for.
    std::string from(after);
    for (size_t left_out = 1; left_out > 0;) {
      const long long most = static_cast<long long>(limit - devices.size());
      const size_t damaged = context_.damaged.size();
      auto page = SelectAll<v1::AllowedDevice>(
          context_, "allowed device",
          "SELECT id, record FROM allowed_devices WHERE id > :a ORDER BY id LIMIT :n", from, most);
      left_out = context_.damaged.size() - damaged;
      if (!page.empty()) from = page.back().device_id();
      if (left_out > 0) from = std::max(from, context_.damaged.back().name);
      std::ranges::move(page, std::back_inserter(devices));
    }
    return absl::OkStatus();
  }));
  return devices;
}

absl::StatusOr<v1::AllowedDevice> SqlAdmissionStore::Disallow(std::string_view id) {
  v1::AllowedDevice removed;
  QF_RETURN_IF_ERROR(Write([&](soci::session& sql) -> absl::Status {
    const std::string name(id);
    QF_ASSIGN_OR_RETURN(const auto device, SelectAllowed(sql, name));
    if (!device) return NotFound("device \"{}\" is not on the allowlist", name);
    removed = *device;
    sql << "DELETE FROM allowed_devices WHERE id = :i", soci::use(name);
    // Devices that are pending on the allowlist's account are so no longer.
    sql << "DELETE FROM pending_devices WHERE id = :i AND admission = 'list'", soci::use(name);
    Note(Change::Kind::kDevice, name);
    return absl::OkStatus();
  }));
  return removed;
}

absl::Status SqlAdmissionStore::PutPending(const PendingRecord& pending, size_t most,
                                           int64_t now_ms) {
  return Write([&](soci::session& sql) -> absl::Status {
    const long long now = now_ms, expires = pending.device.expires_ms();
    const std::string id = pending.device.device_id(), record = Pack(pending.device);
    sql << "DELETE FROM pending_devices WHERE expires_ms <= :n", soci::use(now);
    const std::string alike = pending.admission.empty() ? "admission = ''" : "admission <> ''";
    long long others = 0;
    sql << "SELECT COUNT(*) FROM pending_devices WHERE " + alike + " AND id <> :i", soci::use(id),
        soci::into(others);
    if (others >= static_cast<long long>(most))
      return ResourceExhausted(
          "{} devices are already waiting for an operator, which is the maximum: approve or reject "
          "some (`quantfleet device pending`), then try again",
          others);
    const long long position = NextPosition(sql, "pending_devices");
    sql << "INSERT INTO pending_devices (id, admission, expires_ms, position, record) VALUES (:i, "
           ":a, :e, :p, :r)"
           " ON CONFLICT (id) DO UPDATE SET admission = excluded.admission, expires_ms = "
           "excluded.expires_ms,"
           " record = excluded.record",
        soci::use(id), soci::use(pending.admission), soci::use(expires), soci::use(position),
        soci::use(record);
    Note(Change::Kind::kDevice, id);
    return absl::OkStatus();
  });
}

absl::Status SqlAdmissionStore::ForgetPending(std::string_view admission) {
  return Write([&](soci::session& sql) -> absl::Status {
    const std::string name(admission);
    sql << "DELETE FROM pending_devices WHERE admission = :a", soci::use(name);
    return absl::OkStatus();
  });
}

absl::StatusOr<std::optional<PendingRecord>> SqlAdmissionStore::FindPending(std::string_view id,
                                                                            int64_t now_ms) const {
  std::optional<PendingRecord> found;
  QF_RETURN_IF_ERROR(Read([&](soci::session& sql) -> absl::Status {
    const std::string name(id);
    const long long now = now_ms;
    std::string record, admission;
    sql << "SELECT record, admission FROM pending_devices WHERE id = :i AND expires_ms > :n",
        soci::use(name), soci::use(now), soci::into(record), soci::into(admission);
    if (!sql.got_data()) return absl::OkStatus();
    QF_ASSIGN_OR_RETURN(v1::PendingDevice device, Unpack<v1::PendingDevice>(record));
    found = PendingRecord{std::move(device), std::move(admission)};
    return absl::OkStatus();
  }));
  return found;
}

absl::StatusOr<std::vector<v1::PendingDevice>> SqlAdmissionStore::ListPending(
    int64_t now_ms) const {
  std::vector<v1::PendingDevice> devices;
  QF_RETURN_IF_ERROR(Read([&](soci::session&) -> absl::Status {
    const long long now = now_ms;
    devices = SelectAll<v1::PendingDevice>(
        context_, "pending device",
        "SELECT id, record FROM pending_devices WHERE expires_ms > :n ORDER BY position", now);
    return absl::OkStatus();
  }));
  return devices;
}

std::unique_ptr<AdmissionStore> MakeAdmissionStore(SqlContext& context) {
  return std::make_unique<SqlAdmissionStore>(context);
}

}  // namespace quantfleet::daemon
