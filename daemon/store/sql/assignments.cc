// Assignments: the last one of each device, per model.
#include <soci/soci.h>

#include "daemon/store/sql/records.h"
#include "daemon/store/sql/subject.h"

namespace quantfleet::daemon {
namespace {

class SqlAssignmentStore final : public AssignmentStore, private SqlSubject {
 public:
  explicit SqlAssignmentStore(SqlContext& context) : SqlSubject(context) {}

  absl::StatusOr<std::vector<AssignmentRecord>> List(std::string_view device_id) const override;
  absl::StatusOr<bool> IsAssigned(std::string_view device_id,
                                  std::string_view manifest_digest) const override;
  absl::StatusOr<AssignmentRecord> Assign(
      std::string_view device_id, std::string_view model, std::string_view manifest_digest,
      std::string_view rollout,
      const std::function<absl::StatusOr<v1::Signed>(uint64_t release)>& sign,
      const std::vector<std::string>& step_down) override;
};

}  // namespace

absl::StatusOr<AssignmentRecord> SqlAssignmentStore::Assign(
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
    const std::string digest = ToHex(AsBytes(manifest_digest)), unsigned_yet;
    std::string steps;
    for (const std::string& step : step_down) steps += ToHex(AsBytes(step)) + " ";
    // The row counts its own releases: another transaction that assigns waits for it and takes the
    // next.
    long long release = 0;
    sql << "INSERT INTO assignments (device, model, release_number, manifest_digest, rollout, "
           "statement, step_down)"
           " VALUES (:d, :m, 1, :h, :r, :s, :t) ON CONFLICT (device, model) DO UPDATE SET"
           " release_number = assignments.release_number + 1,"
           " manifest_digest = excluded.manifest_digest, rollout = excluded.rollout,"
           " statement = excluded.statement, step_down = excluded.step_down"
           " RETURNING release_number",
        soci::use(result.device_id), soci::use(result.model), soci::use(digest),
        soci::use(result.rollout), soci::use(unsigned_yet), soci::use(steps), soci::into(release);
    result.release = static_cast<uint64_t>(release);
    QF_ASSIGN_OR_RETURN(result.statement, sign(result.release));
    const std::string statement = Pack(result.statement);
    sql << "UPDATE assignments SET statement = :s WHERE device = :d AND model = :m",
        soci::use(statement), soci::use(result.device_id), soci::use(result.model);
    Note(Change::Kind::kAssignment, device_id);
    return absl::OkStatus();
  }));
  return result;
}

absl::StatusOr<std::vector<AssignmentRecord>> SqlAssignmentStore::List(
    std::string_view device_id) const {
  std::vector<AssignmentRecord> assignments;
  QF_RETURN_IF_ERROR(Read([&](soci::session&) -> absl::Status {
    const std::string device(device_id);
    for (const auto& [model, release, digest, rollout, statement] :
         prepared().Select<std::string, long long, std::string, std::string, std::string>(
             "SELECT model, release_number, manifest_digest, rollout, statement FROM assignments "
             "WHERE device = :d",
             device)) {
      QF_ASSIGN_OR_RETURN(v1::Signed unpacked, Unpack<v1::Signed>(statement));
      const auto raw = FromHex(digest);
      if (!raw) return DataLoss("the database contains a damaged assignment of device {}", device);
      assignments.push_back({device, model, static_cast<uint64_t>(release),
                             std::string(AsText(*raw)), rollout, std::move(unpacked)});
    }
    SortBy(assignments, &AssignmentRecord::model);
    return absl::OkStatus();
  }));
  return assignments;
}

absl::StatusOr<bool> SqlAssignmentStore::IsAssigned(std::string_view device_id,
                                                    std::string_view manifest_digest) const {
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

std::unique_ptr<AssignmentStore> MakeAssignmentStore(SqlContext& context) {
  return std::make_unique<SqlAssignmentStore>(context);
}

}  // namespace quantfleet::daemon
