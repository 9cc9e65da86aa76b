#include "daemon/jobs/journal.h"

#include <unordered_set>


namespace quantfleet::daemon {
namespace {

using pipeline::SlabRecord;

void AppendU32(std::string& out, size_t value) {
  const auto number = static_cast<uint32_t>(value);
  out.append(reinterpret_cast<const char*>(&number), sizeof number);
}

// Reads what AppendU32 and Digest::raw wrote; false once the bytes are spent.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}
  bool U32(uint32_t& value) {
    if (bytes_.size() < sizeof value) return false;
    value = Load<uint32_t>(AsBytes(bytes_).data());
    bytes_.remove_prefix(sizeof value);
    return true;
  }
  bool Hash(Digest& digest) {
    if (bytes_.size() < Digest::kSize) return false;
    std::copy_n(AsBytes(bytes_).begin(), Digest::kSize, digest.bytes.begin());
    bytes_.remove_prefix(Digest::kSize);
    return true;
  }
  size_t left() const { return bytes_.size(); }

 private:
  std::string_view bytes_;
};

// Does the record fit the plan, and are its chunks stored? `known`: digests that were found already.
bool IsUsable(const SlabRecord& record, const pipeline::Plan& plan, const pipeline::BlobStore& blobs,
              std::unordered_set<Digest>& known) {
  for (const SlabRecord::Chunk& chunk : record.chunks) {
    if (chunk.target >= plan.targets.size() || chunk.index >= plan.targets[chunk.target].chunks.size())
      return false;
    if (known.contains(chunk.digest)) continue;
    if (!blobs.Find(chunk.digest).ok()) return false;
    known.insert(chunk.digest);
  }
  return true;
}

}  // namespace

std::string SerializeSlabRecord(const SlabRecord& record) {
  std::string out;
  AppendU32(out, record.source_blocks.size());
  for (const Digest& digest : record.source_blocks) out += digest.raw();
  AppendU32(out, record.chunks.size());
  for (const SlabRecord::Chunk& chunk : record.chunks) {
    AppendU32(out, chunk.target);
    AppendU32(out, chunk.index);
    out += chunk.digest.raw();
  }
  return out;
}

absl::StatusOr<SlabRecord> ParseSlabRecord(std::string_view bytes) {
  constexpr std::string_view kDamaged = "a slab's record in the database is damaged";
  Reader reader(bytes);
  SlabRecord record;
  uint32_t count = 0;
  if (!reader.U32(count) || count > reader.left() / Digest::kSize) return DataLoss("{}", kDamaged);
  record.source_blocks.resize(count);
  for (Digest& digest : record.source_blocks) reader.Hash(digest);
  constexpr size_t kChunkSize = 2 * sizeof(uint32_t) + Digest::kSize;
  if (!reader.U32(count) || count != reader.left() / kChunkSize || reader.left() % kChunkSize != 0)
    return DataLoss("{}", kDamaged);
  record.chunks.resize(count);
  for (SlabRecord::Chunk& chunk : record.chunks) {
    reader.U32(chunk.target);
    reader.U32(chunk.index);
    reader.Hash(chunk.digest);
  }
  return record;
}

JobJournal::JobJournal(Store& store, std::string job, std::function<void(size_t)> on_recorded)
    : store_(store), job_(std::move(job)), on_recorded_(std::move(on_recorded)) {}

absl::StatusOr<std::unique_ptr<JobJournal>> JobJournal::Load(Store& store, const pipeline::BlobStore& blobs,
                                                             const pipeline::Plan& plan, std::string job,
                                                             std::function<void(size_t)> on_recorded) {
  QF_ASSIGN_OR_RETURN(const auto rows, store.ListJobSlabs(job));
  std::unique_ptr<JobJournal> journal(new JobJournal(store, std::move(job), std::move(on_recorded)));
  std::unordered_set<Digest> known;
  for (const SlabRow& row : rows) {
    auto record = ParseSlabRecord(row.record);
    // What cannot be used is made again: a slab is the unit of loss.
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
    waiting_.push_back({slab, SerializeSlabRecord(record)});
    committed_.wait(lock, [&] { return done_batches_ > batch || !writing_; });
    if (done_batches_ <= batch) {
      // The first to come while nobody writes takes everything that waits, its own row included.
      writing_ = true;
      const std::vector<SlabRow> rows = std::move(waiting_);
      waiting_.clear();
      ++next_batch_;
      lock.unlock();
      absl::Status written = store_.PutJobSlabs(job_, rows);
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
