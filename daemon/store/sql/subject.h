// What the subjects of one transaction share, and how their calls run. Private to
// daemon/store/sql.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/store/change.h"
#include "daemon/store/sql/database.h"
#include "daemon/store/sql/last_seen.h"
#include "daemon/store/transaction.h"

namespace quantfleet::daemon {

struct SqlContext {
  const Database& database;
  soci::session& session;
  Prepared& prepared;
  const LastSeen& last_seen;
  const Transaction* transaction = nullptr;  // the other subjects, for joins
  std::vector<Change> noted = {};            // published once committed
  LastSeen::Times touched = {};              // likewise
  std::vector<Damaged> damaged = {};         // records that were left out
  absl::Status failed = {};                  // not OK: nothing of the transaction may be kept
};

class SqlSubject {
 protected:
  explicit SqlSubject(SqlContext& context) : context_(context) {}

  using Body = std::function<absl::Status(soci::session&)>;
  // What SOCI throws becomes a status. An error of the database fails the whole transaction:
  // PostgreSQL accepts nothing after it, and what SQLite keeps is unknown. So does an error of a
  // write: half of it may be written.
  absl::Status Read(const Body& body) const {
    bool threw = true;
    absl::Status status = context_.database.Catch([&]() -> absl::Status {
      absl::Status done = body(context_.session);
      threw = false;
      return done;
    });
    if (threw && context_.failed.ok()) context_.failed = status;
    return status;
  }
  absl::Status Write(const Body& body) {
    absl::Status status = Read(body);
    if (!status.ok() && context_.failed.ok()) context_.failed = status;
    return status;
  }
  void Note(Change::Kind kind, std::string_view name) {
    context_.noted.push_back({kind, std::string(name)});
  }
  Prepared& prepared() const { return context_.prepared; }
  const Transaction& transaction() const { return *context_.transaction; }

  SqlContext& context_;
};

std::unique_ptr<AdmissionStore> MakeAdmissionStore(SqlContext& context);
std::unique_ptr<ArtifactStore> MakeArtifactStore(SqlContext& context);
std::unique_ptr<AssignmentStore> MakeAssignmentStore(SqlContext& context);
std::unique_ptr<AuditStore> MakeAuditStore(SqlContext& context);
std::unique_ptr<ClassStore> MakeClassStore(SqlContext& context);
std::unique_ptr<CountStore> MakeCountStore(SqlContext& context);
std::unique_ptr<DeviceStore> MakeDeviceStore(SqlContext& context);
std::unique_ptr<GroupStore> MakeGroupStore(SqlContext& context);
std::unique_ptr<JobStore> MakeJobStore(SqlContext& context);
std::unique_ptr<ModelStore> MakeModelStore(SqlContext& context);
std::unique_ptr<OperatorStore> MakeOperatorStore(SqlContext& context);
std::unique_ptr<RequestStore> MakeRequestStore(SqlContext& context);
std::unique_ptr<RolloutStore> MakeRolloutStore(SqlContext& context);
std::unique_ptr<ScrubStore> MakeScrubStore(SqlContext& context);
std::unique_ptr<SignatureStore> MakeSignatureStore(SqlContext& context);
std::unique_ptr<TokenStore> MakeTokenStore(SqlContext& context);

// Inside Read or Write, for subjects that create something. They throw as SOCI does.
absl::StatusOr<std::optional<std::string>> FindRequest(soci::session& sql, const Request& request);
void RecordRequest(soci::session& sql, const Request& request, std::string_view resource);

}  // namespace quantfleet::daemon
