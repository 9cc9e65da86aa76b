// A folder of immutable blobs named by the SHA-256 of their plain bytes:
//   ROOT/ab/abcdef....<encoding>
// A blob is complete and durable or absent (temporary file, fsync, rename, folder fsync). Thread-safe.
#pragma once

#include <optional>

#include "common/base/digest.h"
#include "common/base/file.h"
#include "pipeline/artifact/encoding.h"

namespace quantfleet::pipeline {

class BlobStore {
 public:
  BlobStore(FileSystem& files, fs::path root);

  struct Stored {
    Encoding encoding;
    uint64_t stored_size;
    fs::path path;
  };

  // Encodes and stores the chunk unless it is there; durable on return. `digest` is the plain bytes' own.
  absl::StatusOr<Stored> Put(const Digest& digest, ByteSpan plain, int element_bytes);
  // Which stored form there is; NOT_FOUND when none.
  absl::StatusOr<Stored> Find(const Digest& digest) const;
  // Plain bytes, decoded and checked against the digest. DATA_LOSS names the blob when it is damaged.
  absl::StatusOr<Bytes> Read(const Digest& digest, uint32_t plain_size) const;
  absl::Status Remove(const Digest& digest);
  fs::path PathOf(const Digest& digest, Encoding encoding) const;

 private:
  FileSystem& files_;
  const fs::path root_;
};

}  // namespace quantfleet::pipeline
