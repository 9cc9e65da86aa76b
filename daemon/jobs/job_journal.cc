#include "daemon/jobs/job_journal.h"

#include <unordered_set>

namespace quantfleet::daemon {
namespace {

using pipeline::SlabRecord;

// Whether the record fits the plan and its chunks are stored. `known`: digests that were found
// already.
bool IsUsable(const SlabRecord& record, const pipeline::Plan& plan,
              const pipeline::BlobStore& blobs, std::unordered_set<Digest>& known) {
  for (const SlabRecord::Chunk& chunk : record.chunks) {
    if (chunk.target >= plan.targets.size() ||
        chunk.index >= plan.targets[chunk.target].chunks.size())
      return false;
    if (known.contains(chunk.digest)) continue;
    if (!blobs.Stat(chunk.digest).ok()) return false;
    known.insert(chunk.digest);
  }
  return true;
}

}  // namespace

JobJournal::JobJournal(Store& store, std::string job, std::function<void(size_t)> on_recorded)
    : store_(store), job_(std::move(job)), on_recorded_(std::move(on_recorded)) {}

absl::StatusOr<std::unique_ptr<JobJournal>> JobJournal::Load(
    Store& store, const pipeline::BlobStore& blobs, const pipeline::Plan& plan, std::string job,
    std::function<void(size_t)> on_recorded) {
  QF_ASSIGN_OR_RETURN(const auto rows,
                      store.Read([&](const Transaction& tx) { return tx.jobs().ListSlabs(job); }));
  std::unique_ptr<JobJournal> journal(
      new JobJournal(store, std::move(job), std::move(on_recorded)));
  std::unordered_set<Digest> known;
  for (const SlabRow& row : rows) {
    auto record = pipeline::ParseSlabRecord(row.record);
    // Slabs that cannot be used are made again: no more than a slab is lost.
    if (row.slab < plan.slabs.size() && record.ok() && IsUsable(*record, plan, blobs, known))
      journal->records_.emplace(row.slab, std::move(*record));
  }
  return journal;
}

const SlabRecord* JobJournal::Find(size_t slab) const {
  const auto at = records_.find(slab);
  return at == records_.end() ? nullptr : &at->second;
}

absl::Status JobJournal::Record(size_t slab, const SlabRecord& record) {
  absl::Status status;
  {
    std::unique_lock lock(mutex_);
    const uint64_t batch = next_batch_;
    waiting_.push_back({slab, pipeline::SerializeSlabRecord(record)});
    committed_.wait(lock, [&] { return done_batches_ > batch || !writing_; });
    if (done_batches_ <= batch) {
      // Whoever comes first while nobody writes takes everything that waits, including its own row.
      writing_ = true;
      const std::vector<SlabRow> rows = std::move(waiting_);
      waiting_.clear();
      ++next_batch_;
      lock.unlock();
      absl::Status written =
          store_.Write([&](Transaction& tx) { return tx.jobs().PutSlabs(job_, rows); });
      lock.lock();
      writing_ = false;
      done_batches_ = batch + 1;
      if (!written.ok()) failed_[batch] = std::move(written);
      committed_.notify_all();
    }
    const auto failure = failed_.find(batch);
    if (failure != failed_.end()) status = failure->second;
  }
  if (!status.ok()) return Annotate(status, fmt::format("recording slab {} of {}", slab, job_));
  if (on_recorded_) on_recorded_(slab);
  return absl::OkStatus();
}

}  // namespace quantfleet::daemon
