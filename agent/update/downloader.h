// Brings an artifact's chunks into a slot: from the running slot where it has them, else over the
// network. Each chunk is checked before it is written, and recorded only once it is durable, so
// that whatever stops a pass, the next resumes from the last record. One pass per Fetch; the caller
// decides when to try again. Used by one thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <vector>

#include "agent/update/blob_source.h"
#include "agent/update/download_journal.h"
#include "common/base/file.h"
#include "quantfleet/v1/device.pb.h"
#include "quantfleet/v1/manifest.pb.h"

namespace quantfleet::agent {

struct DownloadProgress {
  uint64_t total = 0;   // plain bytes of the artifact
  uint64_t done = 0;    // of them in place
  uint64_t pulled = 0;  // over the network in this release, as encoded
  uint64_t reused = 0;  // plain bytes that were on the device already
};

class Downloader {
 public:
  struct Source {
    fs::path files;
    v1::Manifest manifest;
  };
  struct Job {
    fs::path files;  // the slot's folder of files
    fs::path journal;
    v1::Manifest manifest;
    std::vector<v1::StoredChunk> stored;
    std::optional<Source> running;
    uint64_t release = 0;
  };
  using OnProgress = std::function<void(const DownloadProgress&)>;

  // INVALID_ARGUMENT when a chunk's stored form is missing or absurd; RESOURCE_EXHAUSTED when the
  // disk cannot hold what is missing.
  static absl::StatusOr<Downloader> Open(FileSystem& files, Job job, OnProgress on_progress);
  Downloader(Downloader&&) = default;

  const DownloadProgress& progress() const { return progress_; }

  // The bytes, as encoded, that Fetch will download when all goes well.
  uint64_t ToPull() const;

  // UNAVAILABLE and the like: the network, try later. DATA_LOSS: a chunk was wrong kTries times.
  // RESOURCE_EXHAUSTED: the disk. CANCELLED: stopped, or not paid for.
  absl::Status Fetch(BlobSource& blobs, const Pull& pull, std::stop_token stop);

  // Reads every byte back and returns the number of damaged chunks: they are forgotten, and Fetch
  // downloads them again.
  absl::StatusOr<size_t> Verify(std::stop_token stop);

  static constexpr int kTries = 3;

 private:
  struct Place {
    size_t file;
    uint64_t offset;
    uint32_t size;
    Digest digest;
  };
  struct Stored {
    pipeline::Encoding encoding;
    uint64_t size;
  };
  struct Copy {
    fs::path path;
    uint64_t offset;
  };

  Downloader(FileSystem& files, Job job, OnProgress on_progress)
      : files_(&files), job_(std::move(job)), on_progress_(std::move(on_progress)) {}
  absl::Status Lay();
  absl::Status OpenFiles();
  absl::Status ReadStored();
  void IndexRunning();
  void Count();
  absl::Status CheckSpace() const;
  // Plain, checked bytes of the chunk from somewhere on this device.
  std::optional<Bytes> Local(size_t chunk) const;
  absl::StatusOr<Bytes> PullChunk(const Place& place, BlobSource& blobs, const Pull& pull);
  absl::StatusOr<Bytes> PullOnce(const Place& place, const Stored& stored, BlobSource& blobs,
                                 const Pull& pull);
  absl::Status Put(size_t chunk, ByteSpan plain, uint32_t pulled);
  absl::Status Flush();

  FileSystem* files_;
  Job job_;
  OnProgress on_progress_;
  std::vector<Place> places_;
  std::vector<bool> present_;
  std::map<Digest, Stored> stored_;
  std::multimap<Digest, size_t> own_;  // chunk indices, so that a repeated chunk is pulled once
  std::map<Digest, Copy> running_;
  std::vector<std::unique_ptr<File>> open_;
  std::unique_ptr<DownloadJournal> journal_;
  std::vector<JournalEntry> pending_;  // written, not yet recorded
  uint64_t pending_bytes_ = 0;
  DownloadProgress progress_;
};

}  // namespace quantfleet::agent
