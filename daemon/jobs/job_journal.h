// The journal of one job's slabs, kept in the store, and the sink that its chunks go to.
//
// Record is durable on return; threads that record at the same time share one transaction.
// Thread-safe. An earlier run's record counts only when every chunk that it names is in the blob
// store.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "daemon/store/store.h"
#include "pipeline/artifact/blob_store.h"
#include "pipeline/stage/executor.h"

namespace quantfleet::daemon {

class JobJournal final : public pipeline::SlabJournal {
 public:
  // Reads what earlier runs of the job recorded.
  static absl::StatusOr<std::unique_ptr<JobJournal>> Load(Store& store,
                                                          const pipeline::BlobStore& blobs,
                                                          const pipeline::Plan& plan,
                                                          std::string job,
                                                          std::function<void(size_t)> on_recorded);

  absl::Status Record(size_t slab, const pipeline::SlabRecord& record) override;
  const pipeline::SlabRecord* Find(size_t slab) const override;
  size_t loaded() const { return records_.size(); }

 private:
  JobJournal(Store& store, std::string job, std::function<void(size_t)> on_recorded);

  Store& store_;
  const std::string job_;
  const std::function<void(size_t)> on_recorded_;
  std::unordered_map<size_t, pipeline::SlabRecord>
      records_;  // of earlier runs; constant after Load

  std::mutex mutex_;  // guards what follows
  std::condition_variable committed_;
  std::vector<SlabRow> waiting_;  // for the next transaction
  uint64_t next_batch_ = 0;       // the one that `waiting_` will be
  uint64_t done_batches_ = 0;
  bool writing_ = false;
  std::unordered_map<uint64_t, absl::Status> failed_;  // by batch
};

class BlobSink final : public pipeline::ChunkSink {
 public:
  explicit BlobSink(pipeline::BlobStore& blobs) : blobs_(blobs) {}
  absl::Status Store(size_t /*target*/, const pipeline::PlannedChunk& /*chunk*/,
                     const Digest& digest, ByteSpan plain, int element_bytes) override {
    return blobs_.Put(digest, plain, element_bytes).status();
  }

 private:
  pipeline::BlobStore& blobs_;
};

}  // namespace quantfleet::daemon
