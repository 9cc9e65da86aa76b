// Jobs and the journal of their slabs.
#include <soci/soci.h>

#include "daemon/store/sql/records.h"
#include "daemon/store/sql/subject.h"

namespace quantfleet::daemon {
namespace {

std::string JoinTargets(const std::vector<std::string>& targets) {
  std::string joined;
  for (const std::string& target : targets) joined += (joined.empty() ? "" : " ") + target;
  return joined;
}

std::vector<std::string> SplitTargets(const std::string& joined) {
  std::vector<std::string> targets;
  for (size_t at = 0; at < joined.size();) {
    const size_t end = std::min(joined.find(' ', at), joined.size());
    targets.push_back(joined.substr(at, end - at));
    at = end + 1;
  }
  return targets;
}

absl::StatusOr<JobRecord> SelectJob(soci::session& sql, const std::string& name) {
  std::string record, targets;
  JobRecord job;
  sql << "SELECT record, source_path, targets, plan_digest, source_fingerprint FROM jobs WHERE "
         "name = :n",
      soci::use(name), soci::into(record), soci::into(job.source_path), soci::into(targets),
      soci::into(job.plan_digest), soci::into(job.source_fingerprint);
  if (!sql.got_data()) return NotFound("there is no job \"{}\"", name);
  QF_ASSIGN_OR_RETURN(job.job, Unpack<v1::Job>(record));
  job.targets = SplitTargets(targets);
  return job;
}

void UpdateJobRow(soci::session& sql, const JobRecord& job) {
  const std::string name = job.job.name(), record = Pack(job.job),
                    targets = JoinTargets(job.targets);
  const int state = job.job.state();
  sql << "UPDATE jobs SET state = :s, record = :r, targets = :t, plan_digest = :p, "
         "source_fingerprint = :f WHERE name = :n",
      soci::use(state), soci::use(record), soci::use(targets), soci::use(job.plan_digest),
      soci::use(job.source_fingerprint), soci::use(name);
}

// It will not be asked for again: what it was to do is not known. Its record stays as it is.
void FailDamagedJob(soci::session& sql, const std::string& name) {
  const int failed = v1::Job::FAILED;
  sql << "UPDATE jobs SET state = :s WHERE name = :n", soci::use(failed), soci::use(name);
}

class SqlJobStore final : public JobStore, private SqlSubject {
 public:
  explicit SqlJobStore(SqlContext& context) : SqlSubject(context) {}

  absl::StatusOr<JobRecord> Get(std::string_view name) const override;
  absl::StatusOr<std::vector<v1::Job>> List() const override;
  absl::StatusOr<std::vector<JobRecord>> ListUnfinished() const override;
  absl::StatusOr<JobRecord> Create(const JobRecord& job, const Request& request) override;
  absl::StatusOr<JobRecord> Update(std::string_view name,
                                   const std::function<absl::Status(JobRecord&)>& change) override;
  absl::StatusOr<std::optional<JobRecord>> ClaimNextQueued() override;
  absl::StatusOr<int> RequeueRunning() override;
  absl::Status Delete(std::string_view name) override;
  absl::StatusOr<std::vector<SlabRow>> ListSlabs(std::string_view job) const override;
  absl::Status PutSlabs(std::string_view job, const std::vector<SlabRow>& slabs) override;
  absl::Status DeleteSlabs(std::string_view job) override;
  absl::StatusOr<uint64_t> AdoptSlabs(const JobRecord& job) override;
};

}  // namespace

absl::StatusOr<JobRecord> SqlJobStore::Create(const JobRecord& job, const Request& request) {
  JobRecord result = job;
  QF_RETURN_IF_ERROR(Write([&](soci::session& sql) -> absl::Status {
    QF_ASSIGN_OR_RETURN(const auto known, FindRequest(sql, request));
    if (known) {
      QF_ASSIGN_OR_RETURN(result, SelectJob(sql, *known));
      return absl::OkStatus();
    }
    const std::string name = job.job.name(), record = Pack(job.job),
                      targets = JoinTargets(job.targets);
    const int state = job.job.state();
    const long long position = NextPosition(sql, "jobs");
    sql << "INSERT INTO jobs (name, state, position, record, source_path, targets, plan_digest, "
           "source_fingerprint)"
           " VALUES (:n, :s, :p, :r, :sp, :t, :pd, :sf)",
        soci::use(name), soci::use(state), soci::use(position), soci::use(record),
        soci::use(job.source_path), soci::use(targets), soci::use(job.plan_digest),
        soci::use(job.source_fingerprint);
    RecordRequest(sql, request, name);
    Note(Change::Kind::kJob, name);
    return absl::OkStatus();
  }));
  return result;
}

absl::StatusOr<JobRecord> SqlJobStore::Get(std::string_view name) const {
  JobRecord job;
  QF_RETURN_IF_ERROR(Read([&](soci::session& sql) -> absl::Status {
    QF_ASSIGN_OR_RETURN(job, SelectJob(sql, std::string(name)));
    return absl::OkStatus();
  }));
  return job;
}

absl::StatusOr<std::vector<v1::Job>> SqlJobStore::List() const {
  std::vector<v1::Job> jobs;
  QF_RETURN_IF_ERROR(Read([&](soci::session&) -> absl::Status {
    jobs =
        SelectAll<v1::Job>(context_, "job", "SELECT name, record FROM jobs ORDER BY position DESC");
    return absl::OkStatus();
  }));
  return jobs;
}

absl::StatusOr<std::vector<JobRecord>> SqlJobStore::ListUnfinished() const {
  std::vector<JobRecord> jobs;
  QF_RETURN_IF_ERROR(Read([&](soci::session& sql) -> absl::Status {
    const int queued = v1::Job::QUEUED, running = v1::Job::RUNNING;
    for (const std::string& name :
         SelectTexts(sql, "SELECT name FROM jobs WHERE state IN (:q, :r) ORDER BY position", queued,
                     running)) {
      auto job = SelectJob(sql, name);
      if (absl::IsDataLoss(job.status())) {
        context_.damaged.push_back({"job", name});
        continue;
      }
      QF_RETURN_IF_ERROR(job.status());
      jobs.push_back(*std::move(job));
    }
    return absl::OkStatus();
  }));
  return jobs;
}

absl::StatusOr<JobRecord> SqlJobStore::Update(
    std::string_view name, const std::function<absl::Status(JobRecord&)>& change) {
  JobRecord job;
  QF_RETURN_IF_ERROR(Write([&](soci::session& sql) -> absl::Status {
    QF_ASSIGN_OR_RETURN(job, SelectJob(sql, std::string(name)));
    QF_RETURN_IF_ERROR(change(job));
    UpdateJobRow(sql, job);
    Note(Change::Kind::kJob, name);
    return absl::OkStatus();
  }));
  return job;
}

absl::StatusOr<std::optional<JobRecord>> SqlJobStore::ClaimNextQueued() {
  std::optional<JobRecord> claimed;
  QF_RETURN_IF_ERROR(Write([&](soci::session& sql) -> absl::Status {
    const int queued = v1::Job::QUEUED;
    for (const std::string& name :
         SelectTexts(sql, "SELECT name FROM jobs WHERE state = :q ORDER BY position", queued)) {
      auto job = SelectJob(sql, name);
      if (absl::IsDataLoss(job.status())) {
        FailDamagedJob(sql, name);
        continue;
      }
      QF_RETURN_IF_ERROR(job.status());
      job->job.set_state(v1::Job::RUNNING);
      UpdateJobRow(sql, *job);
      Note(Change::Kind::kJob, name);
      claimed = *std::move(job);
      break;
    }
    return absl::OkStatus();
  }));
  return claimed;
}

absl::StatusOr<int> SqlJobStore::RequeueRunning() {
  int requeued = 0;
  QF_RETURN_IF_ERROR(Write([&](soci::session& sql) -> absl::Status {
    const int running = v1::Job::RUNNING;
    for (const std::string& name :
         SelectTexts(sql, "SELECT name FROM jobs WHERE state = :r ORDER BY position", running)) {
      auto job = SelectJob(sql, name);
      if (absl::IsDataLoss(job.status())) {
        FailDamagedJob(sql, name);
        continue;
      }
      QF_RETURN_IF_ERROR(job.status());
      job->job.set_state(v1::Job::QUEUED);
      UpdateJobRow(sql, *job);
      Note(Change::Kind::kJob, name);
      ++requeued;
    }
    return absl::OkStatus();
  }));
  return requeued;
}

absl::Status SqlJobStore::Delete(std::string_view name) {
  return Write([&](soci::session& sql) -> absl::Status {
    const std::string key(name);
    sql << "DELETE FROM jobs WHERE name = :n", soci::use(key);
    Note(Change::Kind::kJob, name);
    return absl::OkStatus();
  });
}

absl::Status SqlJobStore::PutSlabs(std::string_view job, const std::vector<SlabRow>& slabs) {
  return Write([&](soci::session& sql) -> absl::Status {
    const std::string name(job);
    long long slab = 0;
    std::string record;
    soci::statement insert =
        (sql.prepare << "INSERT INTO job_slabs (job, slab, record) VALUES (:j, :s, :r)"
                        " ON CONFLICT (job, slab) DO UPDATE SET record = excluded.record",
         soci::use(name), soci::use(slab), soci::use(record));
    for (const SlabRow& row : slabs) {
      slab = static_cast<long long>(row.slab);
      record = ToBase64Url(AsBytes(row.record));
      insert.execute(true);
    }
    return absl::OkStatus();
  });
}

absl::StatusOr<std::vector<SlabRow>> SqlJobStore::ListSlabs(std::string_view job) const {
  std::vector<SlabRow> slabs;
  QF_RETURN_IF_ERROR(Read([&](soci::session& sql) -> absl::Status {
    const std::string name(job);
    long long slab = 0;
    std::string record;
    soci::statement rows =
        (sql.prepare << "SELECT slab, record FROM job_slabs WHERE job = :j ORDER BY slab",
         soci::use(name), soci::into(slab), soci::into(record));
    rows.execute();
    while (rows.fetch()) {
      auto bytes = FromBase64Url(record);
      if (!bytes)
        return DataLoss("the database contains a damaged record of slab {} of {}", slab, name);
      slabs.push_back({static_cast<uint64_t>(slab), std::string(AsText(*bytes))});
    }
    return absl::OkStatus();
  }));
  return slabs;
}

absl::Status SqlJobStore::DeleteSlabs(std::string_view job) {
  return Write([&](soci::session& sql) -> absl::Status {
    const std::string name(job);
    sql << "DELETE FROM job_slabs WHERE job = :j", soci::use(name);
    return absl::OkStatus();
  });
}

absl::StatusOr<uint64_t> SqlJobStore::AdoptSlabs(const JobRecord& job) {
  long long adopted = 0;
  QF_RETURN_IF_ERROR(Write([&](soci::session& sql) -> absl::Status {
    const std::string name = job.job.name();
    const int failed = v1::Job::FAILED, cancelled = v1::Job::CANCELLED;
    std::string former;
    sql << "SELECT name FROM jobs WHERE plan_digest = :p AND source_fingerprint = :f AND state IN "
           "(:a, :b)"
           " AND name <> :n ORDER BY position DESC LIMIT 1",
        soci::use(job.plan_digest), soci::use(job.source_fingerprint), soci::use(failed),
        soci::use(cancelled), soci::use(name), soci::into(former);
    if (!sql.got_data()) return absl::OkStatus();
    sql << "UPDATE job_slabs SET job = :n WHERE job = :o", soci::use(name), soci::use(former);
    sql << "SELECT COUNT(*) FROM job_slabs WHERE job = :n", soci::use(name), soci::into(adopted);
    return absl::OkStatus();
  }));
  return static_cast<uint64_t>(adopted);
}

std::unique_ptr<JobStore> MakeJobStore(SqlContext& context) {
  return std::make_unique<SqlJobStore>(context);
}

}  // namespace quantfleet::daemon
