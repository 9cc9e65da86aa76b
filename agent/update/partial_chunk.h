// The part of a chunk that has come, as it is stored, so that a link that is cut costs what was
// under way and no more: one chunk at a time, in a folder of its own beside the slot's journal.
// What is kept is checked only with the rest, by the chunk's digest. Used by one thread.
#pragma once

#include "common/base/digest.h"
#include "common/base/file.h"
#include "pipeline/artifact/encoding.h"

namespace quantfleet::agent {

class PartialChunk {
 public:
  PartialChunk(FileSystem& files, fs::path folder) : files_(&files), folder_(std::move(folder)) {}

  // Of this chunk, from its first byte on; empty where there is none. Parts of others, and one that
  // is longer than `size`, are removed.
  absl::StatusOr<Bytes> Take(const Digest& digest, pipeline::Encoding encoding, uint64_t size);
  uint64_t SizeOf(const Digest& digest, pipeline::Encoding encoding) const;
  // What has come of the chunk that was taken, all of it; durable on return.
  absl::Status Keep(ByteSpan come);
  // It is complete, or wrong.
  absl::Status Drop();

 private:
  fs::path PathOf(const Digest& digest, pipeline::Encoding encoding) const;

  FileSystem* files_;
  fs::path folder_;
  fs::path path_;      // of the chunk that was taken
  uint64_t kept_ = 0;  // bytes of it in the file
};

}  // namespace quantfleet::agent
