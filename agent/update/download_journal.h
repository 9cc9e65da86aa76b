// Which chunks of an artifact stand in a slot: an append-only file of fixed records, written only
// after the chunks' bytes are durable.
//
//   record, 16 bytes little-endian:
//     u32 index of the chunk, counted over all files of the manifest
//     u32 bytes downloaded for it, as encoded; 0: it was on the device already
//     u32 release (low bits) that brought it
//     u32 first bytes of the chunk's digest
//
// The last field makes a torn record, or one of another manifest, count as absent. Not thread-safe.
#pragma once

#include <memory>
#include <vector>

#include "common/base/digest.h"
#include "common/base/file.h"

namespace quantfleet::agent {

struct JournalEntry {
  uint32_t chunk = 0;
  uint32_t pulled = 0;
  uint32_t release = 0;
};

class DownloadJournal {
 public:
  // Opens or makes the journal of a manifest whose chunks, in order, have these digests.
  static absl::StatusOr<DownloadJournal> Open(FileSystem& files, const fs::path& path,
                                              std::vector<Digest> chunks);

  // What was recorded, one entry per chunk; later ones win.
  const std::vector<JournalEntry>& entries() const { return entries_; }
  // Durable on return.
  absl::Status Append(const std::vector<JournalEntry>& entries);
  // These chunks turned out damaged: the journal is written anew without them.
  absl::Status Forget(const std::vector<uint32_t>& chunks);

 private:
  DownloadJournal(FileSystem& files, fs::path path, std::vector<Digest> chunks)
      : files_(&files), path_(std::move(path)), chunks_(std::move(chunks)) {}
  absl::Status Load();
  void Keep(const JournalEntry& entry);
  Bytes Encode(const std::vector<JournalEntry>& entries) const;

  FileSystem* files_;
  fs::path path_;
  std::vector<Digest> chunks_;
  std::unique_ptr<File> file_;
  uint64_t end_ = 0;
  std::vector<JournalEntry> entries_;
};

}  // namespace quantfleet::agent
