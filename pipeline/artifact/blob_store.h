// A folder of immutable blobs named by the SHA-256 of their plain bytes:
//   ROOT/ab/abcdef....<encoding>
//   ROOT/incoming/...              being written
// A blob is complete and durable or absent (temporary file, fsync, rename, folder fsync).
// Thread-safe.
#pragma once

#include <atomic>
#include <functional>
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

  // Encodes and stores the chunk unless it is there; durable on return. `digest` is the plain
  // bytes' own.
  absl::StatusOr<Stored> Put(const Digest& digest, ByteSpan plain, int element_bytes);
  // Which stored form there is; NOT_FOUND when none.
  absl::StatusOr<Stored> Find(const Digest& digest) const;
  // Plain bytes, decoded and checked against the digest. DATA_LOSS names the blob when it is
  // damaged.
  absl::StatusOr<Bytes> Read(const Digest& digest, uint32_t plain_size) const;
  absl::Status Remove(const Digest& digest);
  // Each stored form of each blob, folder by folder; ends with the first error of `visit`, which
  // may remove the blob that it is shown. What is no blob's name is passed over.
  absl::Status ForEach(
      const std::function<absl::Status(const Digest&, const Stored&)>& visit) const;
  // Removes what a killed process left half written. Call it when nobody else writes into this
  // store.
  absl::Status RemoveTemporaries();
  fs::path PathOf(const Digest& digest, Encoding encoding) const;

 private:
  absl::Status WriteNew(const fs::path& path, ByteSpan bytes);
  absl::StatusOr<Bytes> ReadForm(const Stored& stored, const Digest& digest,
                                 uint32_t plain_size) const;

  FileSystem& files_;
  const fs::path root_;
  std::atomic<bool> root_made_ = false;  // by this process, and for good
};

}  // namespace quantfleet::pipeline
