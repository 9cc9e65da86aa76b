#include "daemon/app/status.h"

#include "daemon/store/stored_time.h"

namespace quantfleet::daemon::app {
namespace {

constexpr int kSeenLatelyIntervals = 3;  // of check-ins

}  // namespace

absl::StatusOr<Counts> DaemonStatus::Count() {
  const int64_t now = ToUnixMillis(backend_.clock.Now());
  const int64_t lately = now - kSeenLatelyIntervals * backend_.fleet.check_in().count();
  return backend_.store.Read(
      [&](const Transaction& tx) { return tx.counts().Count(lately, now + kSameMomentMs); });
}

absl::StatusOr<v1::Status> DaemonStatus::Get(const Caller& caller, const v1::GetStatusRequest&) {
  QF_RETURN_IF_ERROR(callers_.Operator(caller, Role::kViewer).status());
  QF_ASSIGN_OR_RETURN(const Counts counts, Count());
  v1::Status status;
  status.set_version(QUANTFLEET_VERSION);
  status.set_started_ms(backend_.started_ms);
  status.set_models(counts.models);
  status.set_artifacts(counts.artifacts);
  status.set_devices(counts.devices);
  status.set_devices_seen_lately(counts.devices_seen);
  status.set_jobs_running(counts.jobs_running);
  status.set_jobs_queued(counts.jobs_queued);
  status.set_rollouts_running(counts.rollouts_running);
  status.set_blob_bytes(counts.stored_bytes);
  status.set_blob_endpoint(backend_.blob_endpoint);
  status.set_devices_pending(counts.devices_pending);
  status.set_ca_sha256(backend_.authority.ca_fingerprint().hex());
  status.set_artifacts_damaged(counts.artifacts_damaged);
  if (v1::Scrub scrub = backend_.scrubber.Get(); scrub.state() != v1::Scrub::STATE_UNSPECIFIED)
    *status.mutable_scrub() = std::move(scrub);
  return status;
}

}  // namespace quantfleet::daemon::app
