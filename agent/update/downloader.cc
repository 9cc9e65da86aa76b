#include "agent/update/downloader.h"

#include <algorithm>

#include "common/base/fail_point.h"

namespace quantfleet::agent {
namespace {

// Synced and recorded together: a power cut costs at most this much, and flash is spared.
constexpr uint64_t kFlushBytes = 16 << 20;
constexpr size_t kFlushChunks = 64;
// Left for logs and records.
constexpr uint64_t kSpareDisk = 4 << 20;
constexpr uint64_t kMaxStored = pipeline::kMaxChunkBytes + (64 << 10);

// What the disk says keeps its code; the same code from the network must not read as a full disk.
absl::Status AsNetwork(const absl::Status& status) {
  return status.code() == absl::StatusCode::kResourceExhausted ? Unavailable("{}", Message(status))
                                                               : status;
}

}  // namespace

absl::StatusOr<Downloader> Downloader::Open(FileSystem& files, Job job, OnProgress on_progress) {
  Downloader downloader(files, std::move(job), std::move(on_progress));
  QF_RETURN_IF_ERROR(downloader.Lay());
  return downloader;
}

absl::Status Downloader::Lay() {
  std::vector<Digest> digests;
  for (int f = 0; f < job_.manifest.files_size(); ++f) {
    uint64_t offset = 0;
    for (const v1::Chunk& chunk : job_.manifest.files(f).chunks()) {
      QF_ASSIGN_OR_RETURN(const Digest digest, Digest::FromRaw(chunk.digest()));
      own_.emplace(digest, places_.size());
      digests.push_back(digest);
      places_.push_back({static_cast<size_t>(f), offset, chunk.size(), digest});
      offset += chunk.size();
    }
  }
  QF_RETURN_IF_ERROR(ReadStored());
  QF_ASSIGN_OR_RETURN(auto journal,
                      DownloadJournal::Open(*files_, job_.journal, std::move(digests)));
  journal_ = std::make_unique<DownloadJournal>(std::move(journal));
  present_.assign(places_.size(), false);
  for (const JournalEntry& entry : journal_->entries()) present_[entry.chunk] = true;
  IndexRunning();
  Count();
  QF_RETURN_IF_ERROR(CheckSpace());
  return OpenFiles();
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
}

absl::Status Downloader::CheckSpace() const {
  const uint64_t missing = progress_.total - progress_.done;
  if (missing == 0) return absl::OkStatus();
  QF_ASSIGN_OR_RETURN(const uint64_t free, files_->FreeSpace(job_.files));
  // Files of an earlier pass may hold part of it already; that is not counted, to be on the safe
  // side.
  if (free >= missing + kSpareDisk) return absl::OkStatus();
  return ResourceExhausted("{}: the artifact needs {} more, but only {} are free",
                           job_.files.string(), HumanBytes(missing), HumanBytes(free));
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

absl::StatusOr<Bytes> Downloader::PullOnce(const Place& place, const Stored& stored,
                                           BlobSource& blobs, const Pull& pull) {
  auto bytes = blobs.Fetch(place.digest, stored.encoding, stored.size, pull);
  if (!bytes.ok()) return AsNetwork(bytes.status());
  Bytes plain(place.size);
  QF_RETURN_IF_ERROR(pipeline::DecodeChunk(stored.encoding, *bytes, plain));
  if (HashBytes(plain) != place.digest) return DataLoss("the data has a different digest");
  return plain;
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
      bytes += stored->second.size;
  }
  return bytes;
}

absl::StatusOr<Bytes> Downloader::PullChunk(const Place& place, BlobSource& blobs,
                                            const Pull& pull) {
  const auto stored = stored_.find(place.digest);
  if (stored == stored_.end())
    return NotFound("the daemon does not offer chunk {}", place.digest.hex());
  for (int tried = 1;; ++tried) {
    auto plain = PullOnce(place, stored->second, blobs, pull);
    if (plain.ok() || plain.status().code() != absl::StatusCode::kDataLoss) return plain;
    if (tried == kTries)
      return DataLoss("chunk {} of {} was damaged {} times: {}", place.digest.hex(),
                      job_.manifest.files(static_cast<int>(place.file)).path(), kTries,
                      Message(plain.status()));
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
  return pending_bytes_ >= kFlushBytes || pending_.size() >= kFlushChunks ? Flush()
                                                                          : absl::OkStatus();
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
  return absl::OkStatus();
}

absl::Status Downloader::Fetch(BlobSource& blobs, const Pull& pull, std::stop_token stop) {
  on_progress_(progress_);
  const absl::Status fetched = [&]() -> absl::Status {
    for (size_t chunk = 0; chunk < places_.size(); ++chunk) {
      if (present_[chunk]) continue;
      if (stop.stop_requested()) return Cancelled("the download was stopped");
      if (const auto local = Local(chunk)) {
        QF_RETURN_IF_ERROR(Put(chunk, *local, 0));
        continue;
      }
      QF_ASSIGN_OR_RETURN(const Bytes plain, PullChunk(places_[chunk], blobs, pull));
      QF_RETURN_IF_ERROR(
          Put(chunk, plain, static_cast<uint32_t>(stored_.at(places_[chunk].digest).size)));
    }
    return absl::OkStatus();
  }();
  // What arrived before the network failed is kept.
  const absl::Status flushed = Flush();
  return fetched.ok() ? flushed : fetched;
}

absl::StatusOr<size_t> Downloader::Verify(std::stop_token stop) {
  std::vector<uint32_t> damaged;
  Bytes plain;
  for (size_t chunk = 0; chunk < places_.size(); ++chunk) {
    if (stop.stop_requested()) return Cancelled("the check was stopped");
    const Place& place = places_[chunk];
    plain.resize(place.size);
    if (open_[place.file]->ReadAt(place.offset, plain).ok() && HashBytes(plain) == place.digest)
      continue;
    damaged.push_back(static_cast<uint32_t>(chunk));
  }
  if (!damaged.empty()) {
    QF_RETURN_IF_ERROR(journal_->Forget(damaged));
    for (const uint32_t chunk : damaged) present_[chunk] = false;
    Count();
    return damaged.size();
  }
  for (const auto& file : open_) QF_RETURN_IF_ERROR(file->Sync());
  return size_t{0};
}

}  // namespace quantfleet::agent
