// Transactions, change events, request ids and counts: what the subjects' files share.
#include "daemon/store/sql/store.h"

#include <soci/soci.h>

#include "daemon/store/sql/prepared.h"
#include "daemon/store/sql/records.h"
#include "daemon/store/sql/rollout_states.h"
#include "daemon/store/sql/sql_error.h"

namespace quantfleet::daemon {

Store::Store(std::unique_ptr<soci::session> session)
    : session_(std::move(session)), statements_(std::make_unique<Statements>(*session_)) {}

Store::~Store() {
  // Lost times of last contact are no reason to fail: devices check in again.
  (void)FlushLastSeen();
}

absl::Status Store::Read(const Body& body) {
  std::lock_guard lock(mutex_);
  return CatchSqlErrors([&]() { return body(*session_); });
}

absl::Status Store::Write(const Body& body) {
  std::vector<Change> committed;
  {
    std::lock_guard lock(mutex_);
    const size_t noted_before = noted_.size();
    QF_RETURN_IF_ERROR(Begin());
    absl::Status status = CatchSqlErrors([&]() { return body(*session_); });
    const absl::Status end = End(status.ok());
    if (status.ok()) status = end;
    if (!status.ok()) {
      noted_.erase(noted_.begin() + static_cast<ptrdiff_t>(noted_before), noted_.end());
      return status;
    }
    if (depth_ == 0) committed.swap(noted_);
  }
  for (const Change& change : committed) changes_.Publish(change);
  return absl::OkStatus();
}

absl::Status Store::Begin() {
  if (doomed_) return Aborted("the transaction around this one has failed already");
  QF_RETURN_IF_ERROR(CatchSqlErrors([&]() -> absl::Status {
    if (depth_ == 0)
      session_->begin();
    else
      *session_ << "SAVEPOINT level" + std::to_string(depth_);
    return absl::OkStatus();
  }));
  ++depth_;
  return absl::OkStatus();
}

absl::Status Store::End(bool commit) {
  --depth_;
  const bool outermost = depth_ == 0;
  const std::string savepoint = "SAVEPOINT level" + std::to_string(depth_);
  absl::Status status = absl::OkStatus();
  if (commit && doomed_) {
    status = Aborted("a part of the transaction failed and could not be taken back alone");
  } else if (commit) {
    status = CatchSqlErrors([&]() -> absl::Status {
      if (outermost)
        session_->commit();
      else
        *session_ << "RELEASE " + savepoint;
      return absl::OkStatus();
    });
  }
  if (!commit || !status.ok()) {
    const absl::Status undone = CatchSqlErrors([&]() -> absl::Status {
      if (outermost) {
        session_->rollback();
      } else {
        *session_ << "ROLLBACK TO " + savepoint;
        *session_ << "RELEASE " + savepoint;
      }
      return absl::OkStatus();
    });
    // A full disk makes SQLite roll back everything by itself: what the outer body still does must
    // not be kept.
    if (!undone.ok()) doomed_ = true;
  }
  if (outermost) doomed_ = false;
  return status;
}

absl::Status Store::Atomically(const std::function<absl::Status()>& body) {
  return Write([&](soci::session&) { return body(); });
}

void Store::Note(Change::Kind kind, std::string_view name) {
  noted_.push_back({kind, std::string(name)});
}

absl::StatusOr<std::optional<std::string>> Store::FindRequest(const Request& request) {
  std::optional<std::string> found;
  QF_RETURN_IF_ERROR(Read([&](soci::session& sql) -> absl::Status {
    found = FindRequestIn(sql, request);
    return absl::OkStatus();
  }));
  return found;
}

std::optional<std::string> Store::FindRequestIn(soci::session& sql, const Request& request) {
  if (request.id.empty()) return std::nullopt;
  std::string resource;
  sql << "SELECT resource FROM requests WHERE method = :m AND request_id = :i",
      soci::use(request.method), soci::use(request.id), soci::into(resource);
  if (!sql.got_data()) return std::nullopt;
  return resource;
}

void Store::RecordRequest(soci::session& sql, const Request& request, std::string_view resource) {
  if (request.id.empty()) return;
  const std::string name(resource);
  sql << "INSERT INTO requests (method, request_id, resource) VALUES (:m, :i, :r)",
      soci::use(request.method), soci::use(request.id), soci::use(name);
}

absl::StatusOr<Counts> Store::Count(int64_t seen_since_ms) {
  QF_RETURN_IF_ERROR(FlushLastSeen());
  Counts counts;
  QF_RETURN_IF_ERROR(Read([&](soci::session& sql) -> absl::Status {
    auto count = [&](const char* query) {
      long long n = 0;
      sql << query, soci::into(n);
      return static_cast<uint64_t>(n);
    };
    auto count_if = [&](const char* query, long long value) {
      long long n = 0;
      sql << query, soci::use(value), soci::into(n);
      return static_cast<uint64_t>(n);
    };
    counts.models = count("SELECT COUNT(*) FROM models");
    counts.artifacts = count("SELECT COUNT(*) FROM artifacts");
    counts.stored_bytes = count("SELECT COALESCE(SUM(stored_bytes), 0) FROM artifacts");
    counts.devices = count("SELECT COUNT(*) FROM devices");
    counts.devices_seen =
        count_if("SELECT COUNT(*) FROM devices WHERE last_seen_ms >= :t", seen_since_ms);
    // Who has expired is removed when the next one comes.
    counts.devices_pending =
        count_if("SELECT COUNT(*) FROM pending_devices WHERE expires_ms > :t", seen_since_ms);
    counts.jobs_running = count_if("SELECT COUNT(*) FROM jobs WHERE state = :s", v1::Job::RUNNING);
    counts.jobs_queued = count_if("SELECT COUNT(*) FROM jobs WHERE state = :s", v1::Job::QUEUED);
    counts.rollouts_running =
        count(("SELECT COUNT(*) FROM rollouts WHERE state IN (" + ActiveStates() + ")").c_str());
    return absl::OkStatus();
  }));
  return counts;
}

}  // namespace quantfleet::daemon
