#include "daemon/jobs/garbage.h"

#include <unordered_set>

#include "common/base/fail_point.h"
#include "pipeline/artifact/manifest.h"
#include "pipeline/stage/slab_record.h"

namespace quantfleet::daemon {
namespace {

using Digests = std::unordered_set<Digest>;

absl::Status AddChunksOfArtifacts(Store& store, Digests& needed) {
  QF_ASSIGN_OR_RETURN(const std::vector<v1::Artifact> artifacts,
                      store.Read([&](const Transaction& tx) { return tx.artifacts().List(""); }));
  for (const v1::Artifact& artifact : artifacts) {
    const auto record =
        store.Read([&](const Transaction& tx) { return tx.artifacts().Get(artifact.name()); });
    if (absl::IsNotFound(record.status())) continue;  // deleted meanwhile
    QF_RETURN_IF_ERROR(record.status());
    v1::Manifest manifest;
    if (!manifest.ParseFromString(record->manifest))
      return DataLoss("the manifest of {} is damaged", artifact.name());
    for (const v1::ArtifactFile& file : manifest.files())
      for (const v1::Chunk& chunk : file.chunks()) {
        QF_ASSIGN_OR_RETURN(const Digest digest, Digest::FromRaw(chunk.digest()));
        needed.insert(digest);
      }
  }
  return absl::OkStatus();
}

bool Abandoned(const v1::Job& job, int64_t before_ms) {
  return (job.state() == v1::Job::FAILED || job.state() == v1::Job::CANCELLED) &&
         job.finished_ms() < before_ms;
}

absl::Status AddChunksOfJobs(Store& store, const CollectOptions& options, Digests& needed,
                             Collected& collected) {
  QF_ASSIGN_OR_RETURN(const std::vector<v1::Job> jobs,
                      store.Read([&](const Transaction& tx) { return tx.jobs().List(); }));
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
