// A blob store in front of another that fails, cuts and lies as its test says. Thread-safe.
#pragma once

#include <atomic>
#include <mutex>
#include <optional>

#include "pipeline/artifact/blob_store.h"

namespace quantfleet::testing {

class FaultyBlobStore final : public pipeline::BlobStore {
 public:
  using Encoding = pipeline::Encoding;
  using BlobStore::Stat;

  explicit FaultyBlobStore(pipeline::BlobStore& real) : real_(real) {}

  // Each call fails so, after `after` that work; OK: no more.
  void Fail(absl::Status status, int after = 0) {
    std::lock_guard lock(mutex_);
    fault_ = std::move(status);
    calls_left_ = after;
  }
  // Readers end after so many bytes, whatever they promised.
  void CutAfter(std::optional<uint64_t> bytes) {
    std::lock_guard lock(mutex_);
    cut_after_ = bytes;
  }
  // Sizes are told too long (or too short) by this.
  void LieAboutSizes(int64_t by) { lie_ = by; }

  absl::StatusOr<uint64_t> Stat(const Digest& digest, Encoding encoding) const override {
    QF_RETURN_IF_ERROR(Fault());
    QF_ASSIGN_OR_RETURN(const uint64_t size, real_.Stat(digest, encoding));
    return size + static_cast<uint64_t>(lie_.load());
  }
  absl::StatusOr<std::unique_ptr<pipeline::BlobReader>> OpenRange(const Digest& digest,
                                                                  Encoding encoding, uint64_t first,
                                                                  uint64_t length) const override {
    QF_RETURN_IF_ERROR(Fault());
    QF_ASSIGN_OR_RETURN(auto reader, real_.OpenRange(digest, encoding, first, length));
    std::lock_guard lock(mutex_);
    return std::make_unique<CutReader>(std::move(reader), cut_after_);
  }
  absl::Status List(
      const std::function<absl::Status(const Digest&, const Stored&)>& visit) const override {
    return real_.List([&](const Digest& digest, const Stored& stored) -> absl::Status {
      QF_RETURN_IF_ERROR(Fault());
      return visit(digest, stored);
    });
  }
  absl::Status RemoveForm(const Digest& digest, Encoding encoding) override {
    QF_RETURN_IF_ERROR(Fault());
    return real_.RemoveForm(digest, encoding);
  }
  absl::Status RemoveTemporaries() override { return real_.RemoveTemporaries(); }
  absl::Status PutForm(const Digest& digest, Encoding encoding, ByteSpan stored) override {
    QF_RETURN_IF_ERROR(Fault());
    return real_.PutForm(digest, encoding, stored);
  }
  absl::Status Settle(const Digest& digest, Encoding encoding) override {
    QF_RETURN_IF_ERROR(Fault());
    return real_.Settle(digest, encoding);
  }
  std::string Name() const override { return real_.Name(); }
  std::string NameOf(const Digest& digest, Encoding encoding) const override {
    return real_.NameOf(digest, encoding);
  }

 private:
  class CutReader final : public pipeline::BlobReader {
   public:
    CutReader(std::unique_ptr<pipeline::BlobReader> real, std::optional<uint64_t> bytes)
        : BlobReader(real->remaining()), real_(std::move(real)), bytes_(bytes) {}

   private:
    absl::Status ReadNext(MutableBytes out) override {
      if (bytes_ && out.size() > *bytes_) return DataLoss("the blob ends early (injected)");
      if (bytes_) *bytes_ -= out.size();
      return real_->Read(out);
    }
    const std::unique_ptr<pipeline::BlobReader> real_;
    std::optional<uint64_t> bytes_;
  };

  absl::Status Fault() const {
    std::lock_guard lock(mutex_);
    if (fault_.ok() || calls_left_-- > 0) return absl::OkStatus();
    calls_left_ = 0;
    return fault_;
  }

  pipeline::BlobStore& real_;
  std::atomic<int64_t> lie_{0};
  mutable std::mutex mutex_;
  absl::Status fault_;
  mutable int calls_left_ = 0;
  std::optional<uint64_t> cut_after_;
};

}  // namespace quantfleet::testing
