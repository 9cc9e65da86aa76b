// Assignments: what each device was told last, per model.
#include <soci/soci.h>

#include "daemon/store/sql/prepared.h"
#include "daemon/store/sql/records.h"
#include "daemon/store/sql/store.h"

namespace quantfleet::daemon {

absl::StatusOr<AssignmentRecord> Store::AssignRelease(
    std::string_view device_id, std::string_view model, std::string_view manifest_digest,
    std::string_view rollout,
    const std::function<absl::StatusOr<v1::Signed>(uint64_t release)>& sign,
    const std::vector<std::string>& step_down) {
  AssignmentRecord result{.device_id = std::string(device_id),
                          .model = std::string(model),
                          .release = 0,
                          .manifest_digest = std::string(manifest_digest),
                          .rollout = std::string(rollout),
                          .statement = {}};
  QF_RETURN_IF_ERROR(Write([&](soci::session& sql) -> absl::Status {
    long long last = 0;
    sql << "SELECT COALESCE(MAX(release_number), 0) FROM assignments WHERE device = :d AND model = "
           ":m",
        soci::use(result.device_id), soci::use(result.model), soci::into(last);
    result.release = static_cast<uint64_t>(last) + 1;
    QF_ASSIGN_OR_RETURN(result.statement, sign(result.release));
    const long long release = last + 1;
    const std::string digest = ToHex(AsBytes(manifest_digest)), statement = Pack(result.statement);
    std::string steps;
    for (const std::string& step : step_down) steps += ToHex(AsBytes(step)) + " ";
    sql << "INSERT INTO assignments (device, model, release_number, manifest_digest, rollout, "
           "statement, step_down)"
           " VALUES (:d, :m, :n, :h, :r, :s, :t) ON CONFLICT (device, model) DO UPDATE SET"
           " release_number = excluded.release_number, manifest_digest = excluded.manifest_digest,"
           " rollout = excluded.rollout, statement = excluded.statement, step_down = "
           "excluded.step_down",
        soci::use(result.device_id), soci::use(result.model), soci::use(release), soci::use(digest),
        soci::use(result.rollout), soci::use(statement), soci::use(steps);
    Note(Change::Kind::kAssignment, device_id);
    return absl::OkStatus();
  }));
  return result;
}

absl::StatusOr<std::vector<AssignmentRecord>> Store::ListAssignments(std::string_view device_id) {
  std::vector<AssignmentRecord> assignments;
  QF_RETURN_IF_ERROR(Read([&](soci::session&) -> absl::Status {
    const std::string device(device_id);
    for (const auto& [model, release, digest, rollout, statement] :
         statements_->Select<std::string, long long, std::string, std::string, std::string>(
             "SELECT model, release_number, manifest_digest, rollout, statement FROM assignments "
             "WHERE device = :d"
             " ORDER BY model",
             device)) {
      QF_ASSIGN_OR_RETURN(v1::Signed unpacked, Unpack<v1::Signed>(statement));
      const auto raw = FromHex(digest);
      if (!raw) return DataLoss("the database holds a damaged assignment of device {}", device);
      assignments.push_back({device, model, static_cast<uint64_t>(release),
                             std::string(AsText(*raw)), rollout, std::move(unpacked)});
    }
    return absl::OkStatus();
  }));
  return assignments;
}

absl::StatusOr<bool> Store::IsAssigned(std::string_view device_id,
                                       std::string_view manifest_digest) {
  long long count = 0;
  QF_RETURN_IF_ERROR(Read([&](soci::session& sql) -> absl::Status {
    const std::string device(device_id), digest = ToHex(AsBytes(manifest_digest)),
                                         among = "%" + digest + "%";
    sql << "SELECT COUNT(*) FROM assignments WHERE device = :d AND (manifest_digest = :h OR "
           "step_down LIKE :a)",
        soci::use(device), soci::use(digest), soci::use(among), soci::into(count);
    return absl::OkStatus();
  }));
  return count > 0;
}

}  // namespace quantfleet::daemon
