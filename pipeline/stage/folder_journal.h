// Remembers the slabs of a run into a folder, so that a run that was killed can be resumed.
//
// A header names the run; a frame follows for every finished slab. Frames are appended without
// syncing, and so are the chunks that they name: a frame counts only when the bytes of all its
// chunks match their digests. A kill costs the slabs that were under way, a power cut those that
// had not reached the disk yet.
#pragma once

#include <functional>
#include <mutex>
#include <unordered_map>

#include "common/base/file.h"
#include "pipeline/stage/executor.h"

namespace quantfleet::pipeline {

class FolderJournal final : public SlabJournal {
 public:
  // Reads a chunk's bytes as an earlier run left them. Thread-safe.
  using ReadChunk =
      std::function<absl::Status(size_t target, const PlannedChunk& chunk, MutableBytes out)>;

  // Opens the journal at `path`. `run` is the digest of everything that the result depends on; the
  // frames of another run, or all of them unless `resume`, are forgotten. `plan` must outlive the
  // journal.
  static absl::StatusOr<std::unique_ptr<FolderJournal>> Open(FileSystem& files,
                                                             const fs::path& path,
                                                             const Digest& run, bool resume,
                                                             const Plan& plan,
                                                             ReadChunk read_chunk);

  absl::Status Record(size_t slab, const SlabRecord& record) override;
  const SlabRecord* Find(size_t slab) const override;

  // Makes durable what was recorded.
  absl::Status Sync() { return file_->Sync(); }

  size_t loaded() const { return loaded_.size(); }
  uint64_t loaded_bytes() const;  // of the chunks that the loaded records name

 private:
  FolderJournal(std::unique_ptr<File> file, const Plan& plan, ReadChunk read_chunk)
      : file_(std::move(file)), plan_(plan), read_chunk_(std::move(read_chunk)) {}
  absl::Status Load(const Digest& run);
  bool Fits(const SlabRecord& record) const;

  const std::unique_ptr<File> file_;
  const Plan& plan_;
  const ReadChunk read_chunk_;
  std::unordered_map<size_t, SlabRecord> loaded_;  // constant after Open
  std::mutex mutex_;                               // guards end_
  uint64_t end_ = 0;                               // where the next frame goes
};

}  // namespace quantfleet::pipeline
