// Garbage: blobs that no artifact and no job's record refers to any more.
//
// A job that finds a blob in the store does not store it again, and records that only later;
// therefore nothing may be collected while a job runs. JobRunner sees to that.
#pragma once

#include <cstdint>
#include <stop_token>
#include <vector>

#include "daemon/store/store.h"
#include "pipeline/artifact/blob_store.h"

namespace quantfleet::daemon {

struct Collected {
  uint64_t blobs_kept = 0, bytes_kept = 0;        // as stored
  uint64_t blobs_removed = 0, bytes_removed = 0;  // the bytes of calibrations too
  uint64_t jobs_forgotten = 0;                    // whose slabs nobody will take up any more
  std::vector<Damaged> damaged;  // of those, the ones whose record cannot be read: it is deleted
};

struct CollectOptions {
  bool dry_run = false;  // count only; may be done while a job runs
  // The slabs of jobs that failed or were cancelled before this moment are forgotten, and their
  // blobs with them.
  int64_t forget_before_ms = 0;
  std::stop_token stop = {};
};

// CANCELLED when stopped: what was removed until then stays removed. DATA_LOSS when a manifest is
// damaged: nothing is removed where it is not known what is needed.
absl::StatusOr<Collected> CollectGarbage(Store& store, pipeline::BlobStore& blobs,
                                         const CollectOptions& options);

}  // namespace quantfleet::daemon
