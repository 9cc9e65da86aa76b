// Signed statements, wherever they are kept.
#include <soci/soci.h>

#include "common/base/digest.h"
#include "daemon/store/artifact_name.h"
#include "daemon/store/sql/records.h"
#include "daemon/store/sql/subject.h"

namespace quantfleet::daemon {
namespace {

// A statement and what finds its row.
struct Kept {
  std::string first, second;  // of the primary key
  v1::Signed statement;
};

// Rows of `query`, which selects both parts of the key and the statement, to which `sign` added;
// and the keys of those that cannot be read.
struct SignedRows {
  std::vector<Kept> changed, damaged;
};
SignedRows SignRows(soci::session& sql, const std::string& query,
                    const std::function<bool(v1::Signed&)>& sign) {
  SignedRows all;
  std::string first, second, packed;
  soci::statement rows =
      (sql.prepare << query, soci::into(first), soci::into(second), soci::into(packed));
  rows.execute();
  while (rows.fetch()) {
    auto statement = Unpack<v1::Signed>(packed);
    if (!statement.ok())
      all.damaged.push_back({first, second, {}});
    else if (sign(*statement))
      all.changed.push_back({first, second, *std::move(statement)});
  }
  return all;
}

class SqlSignatureStore final : public SignatureStore, private SqlSubject {
 public:
  explicit SqlSignatureStore(SqlContext& context) : SqlSubject(context) {}

  absl::StatusOr<uint64_t> SignAnew(const std::function<bool(v1::Signed&)>& sign) override;
};

}  // namespace

absl::StatusOr<uint64_t> SqlSignatureStore::SignAnew(const std::function<bool(v1::Signed&)>& sign) {
  uint64_t count = 0;
  QF_RETURN_IF_ERROR(Write([&](soci::session& sql) -> absl::Status {
    const SignedRows of_artifacts =
        SignRows(sql, "SELECT digest, statement_digest, statement FROM artifact_statements", sign);
    for (const Kept& kept : of_artifacts.changed) {
      const std::string packed = Pack(kept.statement), digest = HashText(packed).hex();
      sql << "UPDATE artifact_statements SET statement = :s, statement_digest = :n WHERE digest = "
             ":d AND"
             " statement_digest = :o",
          soci::use(packed), soci::use(digest), soci::use(kept.first), soci::use(kept.second);
    }
    const SignedRows of_devices =
        SignRows(sql, "SELECT device, model, statement FROM assignments", sign);
    for (const Kept& kept : of_devices.changed) {
      const std::string packed = Pack(kept.statement);
      sql << "UPDATE assignments SET statement = :s WHERE device = :d AND model = :m",
          soci::use(packed), soci::use(kept.first), soci::use(kept.second);
    }
    for (const Kept& kept : of_artifacts.damaged)
      context_.damaged.push_back({"artifact", ArtifactNameOfHex(kept.first)});
    for (const Kept& kept : of_devices.damaged)
      context_.damaged.push_back(
          {"assignment", fmt::format("{} of device {}", kept.second, kept.first)});
    count = of_artifacts.changed.size() + of_devices.changed.size();
    return absl::OkStatus();
  }));
  return count;
}

std::unique_ptr<SignatureStore> MakeSignatureStore(SqlContext& context) {
  return std::make_unique<SqlSignatureStore>(context);
}

}  // namespace quantfleet::daemon
