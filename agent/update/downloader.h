// Brings an artifact's chunks into a slot: from the running slot where it has them, else over the
// network. Each chunk is checked before it is written, and recorded only once it is durable; of one
// that is under way the part that has come is kept (partial_chunk.h). So whatever stops a pass, the
// next goes on where it was, and any link that moves at all comes to the end. One pass per Fetch;
// the caller decides when to try again. Used by one thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <vector>

#include "agent/update/blob_source.h"
#include "agent/update/download_journal.h"
#include "agent/update/meter.h"
#include "agent/update/partial_chunk.h"
#include "agent/update/verdict.h"
#include "common/base/file.h"
#include "quantfleet/v1/device.pb.h"
#include "quantfleet/v1/manifest.pb.h"

namespace quantfleet::agent {

struct DownloadProgress {
  uint64_t total = 0;   // plain bytes of the artifact
  uint64_t done = 0;    // of them in place
  uint64_t pulled = 0;  // over the network in this release, as encoded, and kept
  uint64_t paid = 0;    // over the network in this release, kept or not
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
  // How bytes come. All of it outlives the call.
  struct Link {
    BlobSource& blobs;
    Meter& meter;
    const Clock& clock;
    // A connection that brings less for kPaceWindow is given up for another; 0: never.
    uint64_t min_bytes_per_second = 0;
    std::stop_token stop = {};
  };
  static constexpr Duration kPaceWindow = std::chrono::seconds(30);
  using OnProgress = std::function<void(const DownloadProgress&)>;

  // kArtifactUnavailable when a chunk's stored form is missing or absurd; kDiskFull when the disk
  // cannot hold what is missing.
  static Tried<Downloader> Open(FileSystem& files, Job job, OnProgress on_progress);
  Downloader(Downloader&&) = default;

  const DownloadProgress& progress() const { return progress_; }

  // The bytes, as encoded, that Fetch will download when all goes well.
  uint64_t ToPull() const;

  // kLater: the network. kVerifyFailed: a chunk was wrong kTries times. kDiskFull. kOverBudget.
  // kInterrupted: stopped.
  Verdict Fetch(const Link& link);

  // Reads every byte back and returns the number of damaged chunks: they are forgotten, and Fetch
  // downloads them again.
  Tried<size_t> Verify(std::stop_token stop);

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
      : files_(&files),
        job_(std::move(job)),
        on_progress_(std::move(on_progress)),
        partial_(files, job_.journal.parent_path() / "partial") {}
  Verdict Lay();
  absl::Status OpenFiles();
  absl::Status ReadStored();
  void IndexRunning();
  void Count();
  Verdict CheckSpace() const;
  // Plain, checked bytes of the chunk from somewhere on this device.
  std::optional<Bytes> Local(size_t chunk) const;
  Tried<Bytes> PullChunk(const Place& place, const Link& link);
  // Goes on with what was kept of it.
  Tried<Bytes> PullOnce(const Place& place, const Stored& stored, const Link& link, bool afresh);
  Verdict PullPiece(const BlobRange& range, const Link& link, Bytes& stored);
  Tried<Bytes> Decode(const Place& place, const Stored& stored, ByteSpan bytes) const;
  absl::Status Put(size_t chunk, ByteSpan plain, uint32_t pulled);
  absl::Status Flush();
  uint64_t ReadPaid() const;
  absl::Status KeepPaid();

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
  PartialChunk partial_;
  std::vector<JournalEntry> pending_;  // written, not yet recorded
  uint64_t pending_bytes_ = 0;
  bool slow_ = false;       // the chunk took so long that it is recorded at once
  uint64_t paid_kept_ = 0;  // of progress_.paid, in the file
  DownloadProgress progress_;
};

}  // namespace quantfleet::agent
