#include "pipeline/artifact/blob_store.h"

#include <algorithm>

namespace quantfleet::pipeline {

absl::Status BlobReader::Read(MutableBytes out) {
  if (out.size() > remaining_)
    return OutOfRange("{} bytes were requested from a range that has {} left", out.size(),
                      remaining_);
  QF_RETURN_IF_ERROR(ReadNext(out));
  remaining_ -= out.size();
  return absl::OkStatus();
}

absl::StatusOr<BlobStore::Stored> BlobStore::Stat(const Digest& digest) const {
  for (const Encoding encoding : kEncodings) {
    const auto size = Stat(digest, encoding);
    if (size.ok()) return Stored{encoding, *size};
    if (!absl::IsNotFound(size.status())) return size.status();
  }
  return NotFound("no blob {} in {}", digest.hex(), Name());
}

absl::StatusOr<BlobStore::Stored> BlobStore::Put(const Digest& digest, ByteSpan plain,
                                                 int element_bytes) {
  if (plain.size() > kMaxChunkBytes)
    return InvalidArgument("a chunk has {} bytes; the maximum is {}", plain.size(), kMaxChunkBytes);
  bool replaces = false;
  {
    const std::lock_guard lock(LockOf(digest));
    if (const auto found = Stat(digest); found.ok()) {
      const auto there = DecodeForm(digest, *found, static_cast<uint32_t>(plain.size()));
      if (there.ok() && std::ranges::equal(*there, plain)) {
        QF_RETURN_IF_ERROR(Settle(digest, found->encoding));
        return found;
      }
      replaces = true;
    }
  }
  const EncodedChunk encoded = EncodeChunk(plain, element_bytes);
  const ByteSpan bytes = encoded.encoding == Encoding::kRaw ? plain : ByteSpan(encoded.bytes);
  const std::lock_guard lock(LockOf(digest));
  QF_RETURN_IF_ERROR(PutForm(digest, encoded.encoding, bytes));
  if (replaces)
    for (const Encoding other : kEncodings)
      if (other != encoded.encoding) QF_RETURN_IF_ERROR(RemoveForm(digest, other));
  return Stored{encoded.encoding, bytes.size()};
}

absl::Status BlobStore::Remove(const Digest& digest) {
  for (const Encoding encoding : kEncodings) QF_RETURN_IF_ERROR(RemoveForm(digest, encoding));
  return absl::OkStatus();
}

std::mutex& BlobStore::LockOf(const Digest& digest) {
  return locks_[static_cast<size_t>(digest.span().front()) % locks_.size()];
}

absl::StatusOr<Bytes> BlobStore::DecodeForm(const Digest& digest, const Stored& stored,
                                            uint32_t plain_size) const {
  if (stored.stored_size > plain_size)
    return DataLoss("{} bytes are stored for a chunk of {} bytes", stored.stored_size, plain_size);
  QF_ASSIGN_OR_RETURN(const auto reader, OpenRange(digest, stored.encoding, 0, stored.stored_size));
  Bytes bytes(stored.stored_size);
  QF_RETURN_IF_ERROR(reader->Read(bytes));
  Bytes plain(plain_size);
  QF_RETURN_IF_ERROR(DecodeChunk(stored.encoding, bytes, plain));
  return plain;
}

absl::StatusOr<Bytes> BlobStore::ReadForm(const Digest& digest, const Stored& stored,
                                          uint32_t plain_size) const {
  QF_ASSIGN_OR_RETURN(Bytes plain, DecodeForm(digest, stored, plain_size));
  if (HashBytes(plain) != digest) return DataLoss("its data has a different digest");
  return plain;
}

absl::StatusOr<Bytes> BlobStore::Read(const Digest& digest, uint32_t plain_size) const {
  if (plain_size > kMaxChunkBytes)
    return InvalidArgument("a chunk has {} bytes; the maximum is {}", plain_size, kMaxChunkBytes);
  QF_ASSIGN_OR_RETURN(const Stored stored, Stat(digest));
  auto plain = ReadForm(digest, stored, plain_size);
  if (absl::IsDataLoss(plain.status()))
    return Annotate(plain.status(),
                    fmt::format("blob {} is damaged", NameOf(digest, stored.encoding)));
  return plain;
}

// How many bytes it has. NOT_FOUND; DATA_LOSS: it is damaged.
absl::StatusOr<uint64_t> BlobStore::CheckForm(const Digest& digest, Encoding encoding,
                                              uint32_t plain_size) const {
  QF_ASSIGN_OR_RETURN(const uint64_t size, Stat(digest, encoding));
  const absl::Status read = ReadForm(digest, {encoding, size}, plain_size).status();
  // It was cut between the two.
  if (absl::IsOutOfRange(read)) return DataLoss("{}", Message(read));
  QF_RETURN_IF_ERROR(read);
  return size;
}

absl::StatusOr<BlobStore::Checked> BlobStore::Check(const Digest& digest, uint32_t plain_size) {
  Checked checked;
  for (const Encoding encoding : kEncodings) {
    auto form = CheckForm(digest, encoding, plain_size);
    if (absl::IsDataLoss(form.status())) {
      const std::lock_guard lock(LockOf(digest));
      form = CheckForm(digest, encoding, plain_size);  // it may have been replaced meanwhile
      if (absl::IsDataLoss(form.status())) {
        QF_RETURN_IF_ERROR(RemoveForm(digest, encoding));
        checked.damaged = true;
        checked.what = fmt::format("{}: {}", NameOf(digest, encoding), Message(form.status()));
        continue;
      }
    }
    if (absl::IsNotFound(form.status())) continue;
    QF_RETURN_IF_ERROR(form.status());
    checked.whole = true;
    checked.bytes += *form;
  }
  return checked;
}

}  // namespace quantfleet::pipeline
