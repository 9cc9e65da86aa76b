// A blob store in a folder:
//   ROOT/ab/abcdef....<encoding>
//   ROOT/incoming/...              being written
// A blob is complete and durable or absent (temporary file, fsync, rename, folder fsync).
// Thread-safe; the file system must outlive it.
#pragma once

#include <atomic>

#include "common/base/file.h"
#include "pipeline/artifact/blob_store.h"

namespace quantfleet::pipeline {

class FolderBlobStore final : public BlobStore {
 public:
  FolderBlobStore(FileSystem& files, fs::path root);

  using BlobStore::Stat;
  absl::StatusOr<uint64_t> Stat(const Digest& digest, Encoding encoding) const override;
  absl::StatusOr<std::unique_ptr<BlobReader>> OpenRange(const Digest& digest, Encoding encoding,
                                                        uint64_t first,
                                                        uint64_t length) const override;
  absl::Status List(
      const std::function<absl::Status(const Digest&, const Stored&)>& visit) const override;
  absl::Status RemoveTemporaries() override;
  absl::Status PutForm(const Digest& digest, Encoding encoding, ByteSpan stored) override;
  absl::Status Settle(const Digest& digest, Encoding encoding) override;
  absl::Status RemoveForm(const Digest& digest, Encoding encoding) override;
  std::string Name() const override { return root_.string(); }
  std::string NameOf(const Digest& digest, Encoding encoding) const override;

 private:
  fs::path PathOf(const Digest& digest, Encoding encoding) const;

  FileSystem& files_;
  const fs::path root_;
  std::atomic<bool> root_made_ = false;  // by this process, and for good
};

}  // namespace quantfleet::pipeline
