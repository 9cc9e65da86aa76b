// Chunks become plain files: OUT/<target>/<files> and manifest.pb beside them.
//
// Everything is written into OUT/.<target>.partial and renamed when it is whole and on the disk; on
// any failure the partial folders are removed, and OUT too if this sink created it, unless Keep was
// called or an earlier run was resumed. A journal beside them remembers what is done: a run that
// was killed or kept is resumed from there. Store is thread-safe; the rest belongs to one thread.
#pragma once

#include <memory>
#include <vector>

#include "common/base/file.h"
#include "pipeline/stage/executor.h"
#include "pipeline/stage/folder_journal.h"

namespace quantfleet::pipeline {

struct FolderOptions {
  bool replace = false;  // whether to replace artifacts that exist
  bool resume =
      false;  // continue where an earlier run into this folder stopped, if it was the same run
  // Names the source's present content; together with the plan it shows whether a run is the same.
  std::string fingerprint = {};
};

class FolderSink final : public ChunkSink {
 public:
  // ALREADY_EXISTS when a target's folder is there, unless it is to be replaced; RESOURCE_EXHAUSTED
  // when the disk is too small; FAILED_PRECONDITION when another process writes there;
  // INVALID_ARGUMENT when two targets differ only in their rounding. `plan` and `files`
  // must outlive the sink.
  static absl::StatusOr<std::unique_ptr<FolderSink>> Open(FileSystem& files, fs::path out,
                                                          const Plan& plan, FolderOptions options);
  ~FolderSink() override;

  absl::Status Store(size_t target, const PlannedChunk& chunk, const Digest& digest, ByteSpan plain,
                     int element_bytes) override;
  uint64_t scratch_bytes() const override { return 0; }
  FolderJournal& journal() { return *journal_; }
  // Keeps what is done so far for a later run that resumes.
  void Keep() { keep_ = true; }

  // Syncs the files, adds the manifests (one per target) and shows the folders under their names.
  absl::Status Finish(const std::vector<v1::Manifest>& manifests);
  fs::path FolderOf(size_t target) const;

 private:
  FolderSink(FileSystem& files, fs::path out, const Plan& plan, FolderOptions options);
  absl::Status Prepare();
  absl::Status Lock();
  absl::Status OpenJournal();
  absl::Status MakeRoom(size_t target);
  absl::Status CheckSpace();
  absl::Status OpenTarget(size_t target);
  absl::Status SyncTarget(size_t target, const v1::Manifest& manifest);
  absl::Status Show(size_t target);
  fs::path Hidden(size_t target, std::string_view suffix) const;

  FileSystem& files_;
  const fs::path out_;
  const Plan& plan_;
  const FolderOptions options_;
  bool made_out_ = false, keep_ = false;
  bool ours_ = false;  // no other process writes there
  std::unique_ptr<FileLock> lock_;
  std::unique_ptr<FolderJournal> journal_;
  std::vector<std::vector<std::unique_ptr<File>>> open_;  // by target, file
};

}  // namespace quantfleet::pipeline
