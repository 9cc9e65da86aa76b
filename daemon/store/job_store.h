// Jobs and the journal of their slabs.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/status.h"
#include "daemon/store/request_store.h"
#include "quantfleet/v1/types.pb.h"

namespace quantfleet::daemon {

struct JobRecord {
  v1::Job job;
  std::string source_path;  // the model's at submission: a later version of the name does not
                            // disturb the job
  // Distinct, in the order of the classes: "gguf:q4_0", "mlx:int4+feedback" (jobs/job_target.h).
  std::vector<std::string> targets;
  std::string plan_digest;  // hex; empty until planned
  std::string source_fingerprint;
};

struct SlabRow {
  uint64_t slab;
  std::string record;  // opaque bytes
};

class JobStore {
 public:
  virtual ~JobStore() = default;

  virtual absl::StatusOr<JobRecord> Get(std::string_view name) const = 0;
  // Newest first. Lists leave damaged records out (Transaction::damaged).
  virtual absl::StatusOr<std::vector<v1::Job>> List() const = 0;
  // QUEUED and RUNNING, oldest first.
  virtual absl::StatusOr<std::vector<JobRecord>> ListUnfinished() const = 0;
  virtual absl::StatusOr<JobRecord> Create(const JobRecord& job, const Request& request) = 0;
  virtual absl::StatusOr<JobRecord> Update(
      std::string_view name, const std::function<absl::Status(JobRecord&)>& change) = 0;
  // The oldest QUEUED job, now RUNNING; nullopt when none waits. One whose record is damaged will
  // not be claimed again.
  virtual absl::StatusOr<std::optional<JobRecord>> ClaimNextQueued() = 0;
  // At start: jobs that were RUNNING when the process died are QUEUED again. Returns how many.
  virtual absl::StatusOr<int> RequeueRunning() = 0;

  // With its slabs. One that is gone already is no error.
  virtual absl::Status Delete(std::string_view name) = 0;

  // By number.
  virtual absl::StatusOr<std::vector<SlabRow>> ListSlabs(std::string_view job) const = 0;
  // Replaces equal numbers. FAILED_PRECONDITION: there is no such job.
  virtual absl::Status PutSlabs(std::string_view job, const std::vector<SlabRow>& slabs) = 0;
  virtual absl::Status DeleteSlabs(std::string_view job) = 0;
  // Gives this job the slabs of the latest FAILED or CANCELLED job with the same plan and source.
  // Returns how many.
  virtual absl::StatusOr<uint64_t> AdoptSlabs(const JobRecord& job) = 0;
};

}  // namespace quantfleet::daemon
