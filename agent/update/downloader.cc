#include "agent/update/downloader.h"

#include <algorithm>
#include <set>

#include "agent/platform/record.h"
#include "common/base/fail_point.h"

namespace quantfleet::agent {
namespace {

// Synced and recorded together: a power cut costs at most this much, and flash is spared.
constexpr uint64_t kFlushBytes = 16 << 20;
constexpr size_t kFlushChunks = 64;
// Left for logs, records, and the part of a chunk that has come.
constexpr uint64_t kSpareDisk = 8 << 20;
constexpr uint64_t kMaxStored = pipeline::kMaxChunkBytes + (64 << 10);
// What has come of a chunk is made durable this often while it comes: a power cut costs no more.
constexpr Duration kKeepEvery = std::chrono::seconds(5);

// Watches one request: a connection that hardly moves may be worse than the next one.
class Pace {
 public:
  Pace(const Clock& clock, uint64_t least)
      : clock_(clock), least_(least), since_(clock.Monotonic()) {}
  absl::Status Came(uint64_t bytes) {
    bytes_ += bytes;
    const Duration time = clock_.Monotonic() - since_;
    if (least_ == 0 || time < Downloader::kPaceWindow) return absl::OkStatus();
    const uint64_t rate = bytes_ * 1000 / static_cast<uint64_t>(time.count());
    if (rate < least_)
      return Unavailable("the connection brings {}/s, which is less than {}/s: connecting anew",
                         HumanBytes(rate), HumanBytes(least_));
    since_ = clock_.Monotonic();
    bytes_ = 0;
    return absl::OkStatus();
  }

 private:
  const Clock& clock_;
  const uint64_t least_;
  Duration since_;
  uint64_t bytes_ = 0;
};

}  // namespace

Tried<Downloader> Downloader::Open(FileSystem& files, Job job, OnProgress on_progress) {
  Downloader downloader(files, std::move(job), std::move(on_progress));
  QF_RETURN_IF_SETBACK(downloader.Lay());
  return downloader;
}

Verdict Downloader::Lay() {
  std::vector<Digest> digests;
  for (int f = 0; f < job_.manifest.files_size(); ++f) {
    uint64_t offset = 0;
    for (const v1::Chunk& chunk : job_.manifest.files(f).chunks()) {
      QF_TRY_DISK(const Digest digest, Digest::FromRaw(chunk.digest()));
      own_.emplace(digest, places_.size());
      digests.push_back(digest);
      places_.push_back({static_cast<size_t>(f), offset, chunk.size(), digest});
      offset += chunk.size();
    }
  }
  QF_RETURN_IF_SETBACK(OfDaemon(ReadStored()));
  QF_TRY_DISK(auto journal, DownloadJournal::Open(*files_, job_.journal, std::move(digests)));
  journal_ = std::make_unique<DownloadJournal>(std::move(journal));
  present_.assign(places_.size(), false);
  for (const JournalEntry& entry : journal_->entries()) present_[entry.chunk] = true;
  IndexRunning();
  Count();
  QF_RETURN_IF_SETBACK(CheckSpace());
  return OfDisk(OpenFiles());
}

absl::Status Downloader::ReadStored() {
  for (const v1::StoredChunk& chunk : job_.stored) {
    QF_ASSIGN_OR_RETURN(const Digest digest, Digest::FromRaw(chunk.digest()));
    const auto encoding = pipeline::EncodingFromName(chunk.encoding());
    if (!encoding)
      return InvalidArgument(
          "chunk {} is stored as \"{}\", which this agent cannot decode: update the agent",
          digest.hex(), chunk.encoding());
    if (chunk.stored_size() == 0 || chunk.stored_size() > kMaxStored)
      return InvalidArgument("chunk {} has an impossible stored size of {} bytes", digest.hex(),
                             chunk.stored_size());
    stored_[digest] = {*encoding, chunk.stored_size()};
  }
  return absl::OkStatus();
}

void Downloader::IndexRunning() {
  if (!job_.running) return;
  for (const v1::ArtifactFile& file : job_.running->manifest.files()) {
    uint64_t offset = 0;
    for (const v1::Chunk& chunk : file.chunks()) {
      if (const auto digest = Digest::FromRaw(chunk.digest()); digest.ok())
        running_.emplace(*digest, Copy{job_.running->files / file.path(), offset});
      offset += chunk.size();
    }
  }
}

void Downloader::Count() {
  progress_ = {};
  for (const Place& place : places_) progress_.total += place.size;
  for (const JournalEntry& entry : journal_->entries()) {
    progress_.done += places_[entry.chunk].size;
    const bool pulled_now =
        entry.pulled > 0 && entry.release == static_cast<uint32_t>(job_.release);
    (pulled_now ? progress_.pulled : progress_.reused) +=
        pulled_now ? entry.pulled : places_[entry.chunk].size;
  }
  progress_.paid = paid_kept_ = ReadPaid();
}

// {"release", "bytes"}: a report, not an account, so it is written as seldom as the journal.
uint64_t Downloader::ReadPaid() const {
  const auto record = ReadRecord(*files_, job_.journal.parent_path() / "paid.json");
  if (!record.ok() || NumberField(*record, "release") != job_.release) return 0;
  return NumberField(*record, "bytes").value_or(0);
}

absl::Status Downloader::KeepPaid() {
  if (progress_.paid == paid_kept_) return absl::OkStatus();
  QF_RETURN_IF_ERROR(WriteRecord(
      *files_, job_.journal.parent_path() / "paid.json",
      {{"release", std::to_string(job_.release)}, {"bytes", std::to_string(progress_.paid)}}));
  paid_kept_ = progress_.paid;
  return absl::OkStatus();
}

Verdict Downloader::CheckSpace() const {
  const uint64_t missing = progress_.total - progress_.done;
  if (missing == 0) return {};
  QF_TRY_DISK(const uint64_t free, files_->FreeSpace(job_.files));
  // Files of an earlier pass may hold part of it already; that is not counted, to be on the safe
  // side.
  if (free >= missing + kSpareDisk) return {};
  return Setback(
      Reason::kDiskFull,
      "{}: the artifact needs {} more, and {} of the disk must stay free, but only {} is "
      "free: free some space, then roll out again",
      job_.files.string(), HumanBytes(missing), HumanBytes(kSpareDisk), HumanBytes(free));
}

absl::Status Downloader::OpenFiles() {
  std::vector<fs::path> folders{job_.files};
  for (const v1::ArtifactFile& file : job_.manifest.files()) {
    const fs::path path = job_.files / file.path();
    QF_RETURN_IF_ERROR(files_->CreateDirectories(path.parent_path()));
    for (fs::path up = path.parent_path(); up != job_.files; up = up.parent_path())
      folders.push_back(up);
    QF_ASSIGN_OR_RETURN(auto opened, files_->Open(path, OpenMode::kCreate));
    QF_RETURN_IF_ERROR(opened->Resize(file.size()));
    QF_RETURN_IF_ERROR(opened->Sync());
    open_.push_back(std::move(opened));
  }
  std::ranges::sort(folders);
  const auto repeated = std::ranges::unique(folders);
  folders.erase(repeated.begin(), repeated.end());
  // The names are durable before the first chunk is recorded.
  for (const fs::path& folder : folders) QF_RETURN_IF_ERROR(files_->SyncDirectory(folder));
  return absl::OkStatus();
}

std::optional<Bytes> Downloader::Local(size_t chunk) const {
  const Place& place = places_[chunk];
  Bytes plain(place.size);
  for (auto [at, end] = own_.equal_range(place.digest); at != end; ++at) {
    const Place& twin = places_[at->second];
    if (at->second != chunk && present_[at->second] &&
        open_[twin.file]->ReadAt(twin.offset, plain).ok() && HashBytes(plain) == place.digest)
      return plain;
  }
  const auto copy = running_.find(place.digest);
  if (copy == running_.end()) return std::nullopt;
  const auto file = files_->Open(copy->second.path, OpenMode::kRead);
  // A chunk that is damaged on this disk is downloaded like any other.
  if (!file.ok() || !(*file)->ReadAt(copy->second.offset, plain).ok() ||
      HashBytes(plain) != place.digest)
    return std::nullopt;
  return plain;
}

Verdict Downloader::PullPiece(const BlobRange& range, const Link& link, Bytes& stored) {
  Pace pace(link.clock, link.min_bytes_per_second);
  Duration kept = link.clock.Monotonic();
  const size_t before = stored.size();
  Verdict not_kept;
  const absl::Status came = link.blobs.Fetch(
      range,
      [&](ByteSpan bytes) -> absl::Status {
        stored.insert(stored.end(), bytes.begin(), bytes.end());
        progress_.paid += bytes.size();
        DownloadProgress shown = progress_;
        shown.pulled += stored.size();
        on_progress_(shown);
        if (const Duration now = link.clock.Monotonic(); now - kept >= kKeepEvery) {
          slow_ = true;
          kept = now;
          if (not_kept = OfDisk(partial_.Keep(stored)); !not_kept.ok())
            return Cancelled("the disk does not keep what comes");
        }
        return pace.Came(bytes.size());
      },
      link.stop);
  QF_RETURN_IF_SETBACK(link.meter.TakeBack(range.size - (stored.size() - before)));
  QF_RETURN_IF_SETBACK(not_kept);
  if (came.ok()) return {};
  QF_RETURN_IF_SETBACK(OfDisk(partial_.Keep(stored)));
  return OfDaemon(came);
}

Tried<Bytes> Downloader::Decode(const Place& place, const Stored& stored, ByteSpan bytes) const {
  Bytes plain(place.size);
  if (const absl::Status decoded = pipeline::DecodeChunk(stored.encoding, bytes, plain);
      !decoded.ok())
    return Verdict(Reason::kVerifyFailed, Message(decoded));
  if (HashBytes(plain) != place.digest)
    return Verdict(Reason::kVerifyFailed, "the data has a different digest");
  return plain;
}

Tried<Bytes> Downloader::PullOnce(const Place& place, const Stored& stored, const Link& link,
                                  bool afresh) {
  QF_TRY_DISK(Bytes bytes, partial_.Take(place.digest, stored.encoding, stored.size));
  while (bytes.size() < stored.size) {
    BlobRange range{.digest = place.digest,
                    .encoding = stored.encoding,
                    .stored_size = stored.size,
                    .first = bytes.size(),
                    .size = link.meter.Piece(stored.size - bytes.size()),
                    .afresh = afresh};
    QF_RETURN_IF_SETBACK(link.meter.Pay(range.size));
    QF_RETURN_IF_SETBACK(PullPiece(range, link, bytes));
    if (bytes.size() - range.first != range.size) break;  // shorter than announced
    afresh = false;
  }
  return Decode(place, stored, bytes);
}

uint64_t Downloader::ToPull() const {
  std::set<Digest> counted;
  uint64_t bytes = 0;
  for (size_t chunk = 0; chunk < places_.size(); ++chunk) {
    const Digest& digest = places_[chunk].digest;
    if (present_[chunk]) {
      counted.insert(digest);
      continue;
    }
    const auto stored = stored_.find(digest);
    if (stored != stored_.end() && !running_.contains(digest) && counted.insert(digest).second)
      bytes += stored->second.size -
               std::min(stored->second.size, partial_.SizeOf(digest, stored->second.encoding));
  }
  return bytes;
}

Tried<Bytes> Downloader::PullChunk(const Place& place, const Link& link) {
  const auto stored = stored_.find(place.digest);
  if (stored == stored_.end())
    return Setback(Reason::kArtifactUnavailable, "the daemon does not offer chunk {}",
                   place.digest.hex());
  for (int tried = 1;; ++tried) {
    auto plain = PullOnce(place, stored->second, link, /*afresh=*/tried > 1);
    if (plain.ok() || !plain.verdict().Is(Reason::kVerifyFailed)) return plain;
    // No byte of it is trusted.
    QF_RETURN_IF_SETBACK(OfDisk(partial_.Drop()));
    if (tried == kTries)
      return Setback(Reason::kVerifyFailed, "chunk {} of {} was damaged {} times: {}",
                     place.digest.hex(), job_.manifest.files(static_cast<int>(place.file)).path(),
                     kTries, plain.verdict().detail());
  }
}

absl::Status Downloader::Put(size_t chunk, ByteSpan plain, uint32_t pulled) {
  const Place& place = places_[chunk];
  QF_RETURN_IF_ERROR(open_[place.file]->WriteAt(place.offset, plain));
  FailPoint("update-chunk-written");
  present_[chunk] = true;
  pending_.push_back({static_cast<uint32_t>(chunk), pulled, static_cast<uint32_t>(job_.release)});
  pending_bytes_ += place.size;
  progress_.done += place.size;
  (pulled ? progress_.pulled : progress_.reused) += pulled ? pulled : place.size;
  on_progress_(progress_);
  const bool now = slow_ || pending_bytes_ >= kFlushBytes || pending_.size() >= kFlushChunks;
  return now ? Flush() : absl::OkStatus();
}

absl::Status Downloader::Flush() {
  if (pending_.empty()) return absl::OkStatus();
  std::vector<size_t> dirty;
  for (const JournalEntry& entry : pending_) dirty.push_back(places_[entry.chunk].file);
  dirty.erase(std::unique(dirty.begin(), dirty.end()), dirty.end());
  for (const size_t file : dirty) QF_RETURN_IF_ERROR(open_[file]->Sync());
  QF_RETURN_IF_ERROR(journal_->Append(pending_));
  FailPoint("update-chunk-recorded");
  pending_.clear();
  pending_bytes_ = 0;
  slow_ = false;
  return KeepPaid();
}

Verdict Downloader::Fetch(const Link& link) {
  on_progress_(progress_);
  const Verdict fetched = [&]() -> Verdict {
    for (size_t chunk = 0; chunk < places_.size(); ++chunk) {
      if (present_[chunk]) continue;
      if (link.stop.stop_requested())
        return Setback(Reason::kInterrupted, "the download was stopped");
      if (const auto local = Local(chunk)) {
        QF_RETURN_IF_SETBACK(OfDisk(Put(chunk, *local, 0)));
        continue;
      }
      QF_TRY(const Bytes plain, PullChunk(places_[chunk], link));
      QF_RETURN_IF_SETBACK(
          OfDisk(Put(chunk, plain, static_cast<uint32_t>(stored_.at(places_[chunk].digest).size))));
      QF_RETURN_IF_SETBACK(OfDisk(partial_.Drop()));
    }
    return {};
  }();
  // What arrived before the network failed is kept.
  Verdict flushed = OfDisk(Flush());
  if (flushed.ok()) flushed = OfDisk(KeepPaid());
  return fetched.ok() ? flushed : fetched;
}

Tried<size_t> Downloader::Verify(std::stop_token stop) {
  std::vector<uint32_t> damaged;
  Bytes plain;
  for (size_t chunk = 0; chunk < places_.size(); ++chunk) {
    if (stop.stop_requested()) return Setback(Reason::kInterrupted, "the check was stopped");
    const Place& place = places_[chunk];
    plain.resize(place.size);
    if (open_[place.file]->ReadAt(place.offset, plain).ok() && HashBytes(plain) == place.digest)
      continue;
    damaged.push_back(static_cast<uint32_t>(chunk));
  }
  if (!damaged.empty()) {
    QF_RETURN_IF_SETBACK(OfDisk(journal_->Forget(damaged)));
    for (const uint32_t chunk : damaged) present_[chunk] = false;
    Count();
    return damaged.size();
  }
  for (const auto& file : open_) QF_RETURN_IF_SETBACK(OfDisk(file->Sync()));
  return size_t{0};
}

}  // namespace quantfleet::agent
