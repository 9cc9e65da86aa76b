// A bounded, buffered cursor over the front of an untrusted file. One owner, not thread-safe.
#pragma once

#include <algorithm>
#include <string>

#include "common/base/file.h"

namespace quantfleet::pipeline {

class GgufReader {
 public:
  // Reads at most `limit` bytes of a file of `size` bytes.
  GgufReader(const File& file, uint64_t size, uint64_t limit)
      : file_(file), file_size_(size), end_(std::min(size, limit)) {}

  uint64_t position() const { return position_; }
  uint64_t remaining() const { return end_ - position_; }

  // DATA_LOSS when the file ends before n bytes, RESOURCE_EXHAUSTED when the limit does.
  absl::Status Need(uint64_t n, std::string_view what) const {
    if (n <= remaining()) return absl::OkStatus();
    if (end_ < file_size_)
      return ResourceExhausted("{} at byte {} would make the header longer than the maximum of {}",
                               what, position_, HumanBytes(end_));
    return DataLoss(
        "{} at byte {} needs {} bytes, but the file ends {} bytes later: is the file truncated?",
        what, position_, n, remaining());
  }

  absl::Status Bytes(MutableBytes out, std::string_view what) {
    QF_RETURN_IF_ERROR(Need(out.size(), what));
    while (!out.empty()) {
      if (buffer_at_ == buffer_.size()) QF_RETURN_IF_ERROR(Fill());
      const size_t n = std::min(out.size(), buffer_.size() - buffer_at_);
      std::copy_n(buffer_.begin() + static_cast<std::ptrdiff_t>(buffer_at_), n, out.begin());
      buffer_at_ += n;
      position_ += n;
      out = out.subspan(n);
    }
    return absl::OkStatus();
  }

  template <typename T>
  absl::StatusOr<T> Value(std::string_view what) {
    T value;
    QF_RETURN_IF_ERROR(Bytes(std::as_writable_bytes(std::span(&value, 1)), what));
    return value;
  }

  // u64 length, then that many bytes.
  absl::StatusOr<std::string> String(uint64_t longest, std::string_view what) {
    QF_ASSIGN_OR_RETURN(const uint64_t length, Value<uint64_t>(what));
    if (length > longest)
      return InvalidArgument("{} at byte {} claims a length of {} bytes; the maximum is {}", what,
                             position_ - 8, length, longest);
    QF_RETURN_IF_ERROR(Need(length, what));
    std::string text(length, '\0');
    QF_RETURN_IF_ERROR(Bytes(std::as_writable_bytes(std::span(text)), what));
    return text;
  }

 private:
  absl::Status Fill() {
    buffer_.resize(std::min<uint64_t>(size_t{64} << 10, remaining()));
    buffer_at_ = 0;
    return file_.ReadAt(position_, buffer_);
  }

  const File& file_;
  const uint64_t file_size_, end_;
  uint64_t position_ = 0;
  std::vector<std::byte> buffer_;
  size_t buffer_at_ = 0;
};

}  // namespace quantfleet::pipeline
