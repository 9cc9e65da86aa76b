// Transactions: what the subjects' files share.
#include "daemon/store/sql/sql_store.h"

#include <soci/soci.h>

#include "daemon/store/sql/subject.h"

namespace quantfleet::daemon {
namespace {

// Made before the transaction that shows them, gone after it.
struct Parts {
  Parts(const Database& database, std::unique_ptr<Database::Lease> lease_in,
        const LastSeen& last_seen)
      : lease(std::move(lease_in)),
        context{database, lease->session(), lease->prepared(), last_seen} {}

  Transaction::Subjects All() const {
    return {*admission, *artifacts, *assignments, *audit,  *classes,   *counts,
            *devices,   *groups,    *jobs,        *models, *operators, *requests,
            *rollouts,  *scrubs,    *signatures,  *tokens};
  }

  std::unique_ptr<Database::Lease> lease;
  SqlContext context;
  const std::unique_ptr<AdmissionStore> admission = MakeAdmissionStore(context);
  const std::unique_ptr<ArtifactStore> artifacts = MakeArtifactStore(context);
  const std::unique_ptr<AssignmentStore> assignments = MakeAssignmentStore(context);
  const std::unique_ptr<AuditStore> audit = MakeAuditStore(context);
  const std::unique_ptr<ClassStore> classes = MakeClassStore(context);
  const std::unique_ptr<CountStore> counts = MakeCountStore(context);
  const std::unique_ptr<DeviceStore> devices = MakeDeviceStore(context);
  const std::unique_ptr<GroupStore> groups = MakeGroupStore(context);
  const std::unique_ptr<JobStore> jobs = MakeJobStore(context);
  const std::unique_ptr<ModelStore> models = MakeModelStore(context);
  const std::unique_ptr<OperatorStore> operators = MakeOperatorStore(context);
  const std::unique_ptr<RequestStore> requests = MakeRequestStore(context);
  const std::unique_ptr<RolloutStore> rollouts = MakeRolloutStore(context);
  const std::unique_ptr<ScrubStore> scrubs = MakeScrubStore(context);
  const std::unique_ptr<SignatureStore> signatures = MakeSignatureStore(context);
  const std::unique_ptr<TokenStore> tokens = MakeTokenStore(context);
};

class SqlStore;

constexpr int kTries = 50;  // of a body that loses races: somebody wins each

class SqlTransaction final : private Parts, public OpenTransaction {
 public:
  SqlTransaction(SqlStore& store, const Database& database, const LastSeen& last_seen,
                 std::unique_ptr<Database::Lease> lease)
      : Parts(database, std::move(lease), last_seen), OpenTransaction(All()), store_(store) {
    context.transaction = this;
  }
  ~SqlTransaction() override {
    // If the database has rolled everything back by itself, there is nothing to roll back.
    if (lease)
      (void)context.database.Catch([&] { return context.session.rollback(), absl::OkStatus(); });
  }

  absl::Status Commit() override;
  const std::vector<Damaged>& damaged() const override { return context.damaged; }
  const std::vector<Change>& noted() const override { return context.noted; }
  bool lost_race() const { return absl::IsAborted(context.failed); }
  absl::Status WriteLastSeen(const LastSeen::Times& times);

 private:
  SqlStore& store_;
};

class SqlStore final : public Store {
 public:
  explicit SqlStore(std::unique_ptr<Database> database) : database_(std::move(database)) {}
  ~SqlStore() override {
    // Losing the times of the last contact is not a reason to fail: devices check in again.
    (void)Flush();
  }

  absl::StatusOr<std::unique_ptr<OpenTransaction>> Begin() override { return Open(false); }
  absl::Status Flush() override {
    const LastSeen::Times times = last_seen_.All();
    if (times.empty()) return absl::OkStatus();
    QF_ASSIGN_OR_RETURN(const auto open, Open(false));
    QF_RETURN_IF_ERROR(open->WriteLastSeen(times));
    QF_RETURN_IF_ERROR(open->Commit());
    last_seen_.Written(times);
    return absl::OkStatus();
  }

  // On the thread of the committed transaction, when nobody waits for it any more.
  void Tell(const std::vector<Change>& noted, const LastSeen::Times& touched) {
    for (const Change& change : noted) changes().Publish(change);
    bool due = false;
    for (const auto& [device, time] : touched) due |= last_seen_.Touch(device, time);
    // Whatever cannot be written now is kept for the next time.
    if (due) (void)Flush();
  }

 protected:
  absl::Status RunRead(const ReadBody& body) override {
    QF_ASSIGN_OR_RETURN(const auto open, Open(true));
    return Catch([&] { return body(*open); });
  }
  absl::Status RunWrite(const WriteBody& body) override {
    for (int left = kTries;;) {
      QF_ASSIGN_OR_RETURN(const auto open, Open(false));
      absl::Status status = Catch([&] { return body(*open); });
      if (status.ok()) status = open->Commit();
      if (status.ok() || !open->lost_race() || --left == 0) return status;
    }
  }

 private:
  absl::StatusOr<std::unique_ptr<SqlTransaction>> Open(bool reads_only) {
    QF_ASSIGN_OR_RETURN(auto lease, database_->Take(reads_only));
    QF_RETURN_IF_ERROR(database_->Catch([&]() -> absl::Status {
      database_->Begin(lease->session(), reads_only);
      return absl::OkStatus();
    }));
    return std::make_unique<SqlTransaction>(*this, *database_, last_seen_, std::move(lease));
  }

  // A body's own exceptions, not the database's.
  template <typename Function>
  static absl::Status Catch(const Function& function) {
    try {
      return function();
    } catch (const std::exception& error) {
      return Internal("a transaction ended by an exception: {}", error.what());
    }
  }

  const std::unique_ptr<Database> database_;
  LastSeen last_seen_;
};

absl::Status SqlTransaction::Commit() {
  // PostgreSQL would say OK to the COMMIT of a transaction that failed, and keep nothing.
  if (!context.failed.ok())
    return Aborted("nothing of the transaction is kept, since a part of it failed: {}",
                   Message(context.failed));
  context.failed = context.database.Catch([&]() -> absl::Status {
    context.session.commit();
    return absl::OkStatus();
  });
  QF_RETURN_IF_ERROR(context.failed);
  lease.reset();
  store_.Tell(context.noted, context.touched);
  return absl::OkStatus();
}

absl::Status SqlTransaction::WriteLastSeen(const LastSeen::Times& times) {
  return context.database.Catch([&]() -> absl::Status {
    std::string id;
    long long at = 0, future = 0;  // a later time is kept, unless a clock that was ahead wrote it
    soci::statement update =
        (context.session.prepare << "UPDATE devices SET last_seen_ms = :t WHERE id = :i AND "
                                    "(last_seen_ms < :t2 OR last_seen_ms > :f)",
         soci::use(at), soci::use(id), soci::use(at), soci::use(future));
    for (const auto& [device, time] : times) {
      id = device;
      at = time.seen_ms;
      future = at + kSameMomentMs;
      update.execute(true);
    }
    return absl::OkStatus();
  });
}

}  // namespace

std::unique_ptr<Store> MakeSqlStore(std::unique_ptr<Database> database) {
  return std::make_unique<SqlStore>(std::move(database));
}

}  // namespace quantfleet::daemon
