#include "daemon/jobs/garbage.h"

#include <unordered_set>

#include "common/base/fail_point.h"
#include "daemon/jobs/manifests.h"
#include "pipeline/stage/slab_record.h"

namespace quantfleet::daemon {
namespace {

using Digests = std::unordered_set<Digest>;

absl::Status AddChunksOfArtifacts(Store& store, Digests& needed) {
  return ForEachManifest(
      store, [&](const std::string& name, const v1::Manifest* manifest) -> absl::Status {
        // What is needed is not known, and the manifest can be had again.
        if (manifest == nullptr)
          return DataLoss(
              "the manifest of {0} is damaged, and nothing was collected, since its blobs are not "
              "known: make it again (`quantfleet artifact repair {0}`), restore the database from "
              "a backup, or delete the artifact (`quantfleet artifact delete {0}`)",
              name);
        for (const v1::ArtifactFile& file : manifest->files())
          for (const v1::Chunk& chunk : file.chunks()) {
            QF_ASSIGN_OR_RETURN(const Digest digest, Digest::FromRaw(chunk.digest()));
            needed.insert(digest);
          }
        return absl::OkStatus();
      });
}

bool Abandoned(const v1::Job& job, int64_t before_ms) {
  return (job.state() == v1::Job::FAILED || job.state() == v1::Job::CANCELLED) &&
         job.finished_ms() < before_ms;
}

absl::Status AddChunksOfJobs(Store& store, const CollectOptions& options, Digests& needed,
                             Collected& collected) {
  std::vector<v1::Job> jobs;
  QF_RETURN_IF_ERROR(store.Read([&](const Transaction& tx) -> absl::Status {
    QF_ASSIGN_OR_RETURN(jobs, tx.jobs().List());
    collected.damaged = tx.damaged();
    return absl::OkStatus();
  }));
  // What a job was that cannot be read is not known, nor can it go on.
  for (const Damaged& job : collected.damaged) {
    ++collected.jobs_forgotten;
    if (!options.dry_run)
      QF_RETURN_IF_ERROR(store.Write([&](Transaction& tx) { return tx.jobs().Delete(job.name); }));
  }
  for (const v1::Job& job : jobs) {
    QF_ASSIGN_OR_RETURN(const std::vector<SlabRow> slabs, store.Read([&](const Transaction& tx) {
      return tx.jobs().ListSlabs(job.name());
    }));
    if (slabs.empty()) continue;
    if (Abandoned(job, options.forget_before_ms)) {
      ++collected.jobs_forgotten;
      if (!options.dry_run)
        QF_RETURN_IF_ERROR(
            store.Write([&](Transaction& tx) { return tx.jobs().DeleteSlabs(job.name()); }));
      continue;
    }
    for (const SlabRow& row : slabs) {
      const auto record = pipeline::ParseSlabRecord(row.record);
      if (!record.ok()) continue;  // the job will make that slab again
      for (const pipeline::SlabRecord::Chunk& chunk : record->chunks) needed.insert(chunk.digest);
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Collected> CollectGarbage(Store& store, pipeline::BlobStore& blobs,
                                         const CollectOptions& options) {
  Collected collected;
  Digests needed;
  QF_RETURN_IF_ERROR(AddChunksOfArtifacts(store, needed));
  QF_RETURN_IF_ERROR(AddChunksOfJobs(store, options, needed, collected));
  FailPoint("garbage-before-remove");
  QF_RETURN_IF_ERROR(blobs.List(
      [&](const Digest& digest, const pipeline::BlobStore::Stored& stored) -> absl::Status {
        if (options.stop.stop_requested()) return Cancelled("stopped while collecting garbage");
        if (needed.contains(digest)) {
          ++collected.blobs_kept;
          collected.bytes_kept += stored.stored_size;
          return absl::OkStatus();
        }
        if (!options.dry_run) QF_RETURN_IF_ERROR(blobs.Remove(digest));
        FailPoint("garbage-after-remove");
        ++collected.blobs_removed;
        collected.bytes_removed += stored.stored_size;
        return absl::OkStatus();
      }));
  return collected;
}

}  // namespace quantfleet::daemon
