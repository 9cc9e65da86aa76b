// Blobs in memory, for tests that must not touch a disk. Thread-safe.
#pragma once

#include <algorithm>
#include <map>
#include <mutex>
#include <utility>

#include "pipeline/artifact/blob_store.h"

namespace quantfleet::testing {

class MemoryBlobStore final : public pipeline::BlobStore {
 public:
  using Encoding = pipeline::Encoding;
  using BlobStore::Stat;

  absl::StatusOr<uint64_t> Stat(const Digest& digest, Encoding encoding) const override {
    std::lock_guard lock(mutex_);
    const auto at = blobs_.find({digest.raw(), encoding});
    if (at == blobs_.end()) return NotFound("there is no {}", NameOf(digest, encoding));
    return uint64_t{at->second.size()};
  }
  absl::StatusOr<std::unique_ptr<pipeline::BlobReader>> OpenRange(const Digest& digest,
                                                                  Encoding encoding, uint64_t first,
                                                                  uint64_t length) const override {
    std::lock_guard lock(mutex_);
    const auto at = blobs_.find({digest.raw(), encoding});
    if (at == blobs_.end()) return NotFound("there is no {}", NameOf(digest, encoding));
    if (first > at->second.size() || length > at->second.size() - first)
      return OutOfRange("{} has {} bytes", NameOf(digest, encoding), at->second.size());
    return std::make_unique<Reader>(at->second.substr(first, length));
  }
  absl::Status List(
      const std::function<absl::Status(const Digest&, const Stored&)>& visit) const override {
    std::map<Key, std::string> blobs;
    {
      std::lock_guard lock(mutex_);
      blobs = blobs_;
    }
    for (const auto& [key, bytes] : blobs)
      QF_RETURN_IF_ERROR(visit(*Digest::FromRaw(key.first), {key.second, bytes.size()}));
    return absl::OkStatus();
  }
  absl::Status RemoveForm(const Digest& digest, Encoding encoding) override {
    std::lock_guard lock(mutex_);
    blobs_.erase({digest.raw(), encoding});
    return absl::OkStatus();
  }
  absl::Status PutForm(const Digest& digest, Encoding encoding, ByteSpan stored) override {
    std::lock_guard lock(mutex_);
    blobs_[{digest.raw(), encoding}] = AsText(stored);
    return absl::OkStatus();
  }
  absl::Status Settle(const Digest&, Encoding) override { return absl::OkStatus(); }
  std::string Name() const override { return "memory"; }
  std::string NameOf(const Digest& digest, Encoding encoding) const override {
    return fmt::format("memory/{}.{}", digest.hex(), pipeline::Name(encoding));
  }

 private:
  using Key = std::pair<std::string, Encoding>;

  class Reader final : public pipeline::BlobReader {
   public:
    explicit Reader(std::string bytes) : BlobReader(bytes.size()), bytes_(std::move(bytes)) {}

   private:
    absl::Status ReadNext(MutableBytes out) override {
      std::ranges::copy(AsBytes(bytes_).subspan(at_, out.size()), out.begin());
      at_ += out.size();
      return absl::OkStatus();
    }
    const std::string bytes_;
    size_t at_ = 0;
  };

  mutable std::mutex mutex_;
  std::map<Key, std::string> blobs_;
};

}  // namespace quantfleet::testing
