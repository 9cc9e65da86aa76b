#include "pipeline/artifact/blob_store.h"

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
  if (const auto found = Stat(digest); found.ok()) {
    QF_RETURN_IF_ERROR(Settle(digest, found->encoding));
    return found;
  }
  const EncodedChunk encoded = EncodeChunk(plain, element_bytes);
  const ByteSpan bytes = encoded.encoding == Encoding::kRaw ? plain : ByteSpan(encoded.bytes);
  QF_RETURN_IF_ERROR(PutForm(digest, encoded.encoding, bytes));
  return Stored{encoded.encoding, bytes.size()};
}

absl::StatusOr<Bytes> BlobStore::ReadForm(const Digest& digest, const Stored& stored,
                                          uint32_t plain_size) const {
  if (stored.stored_size > plain_size)
    return DataLoss("{} bytes are stored for a chunk of {} bytes", stored.stored_size, plain_size);
  QF_ASSIGN_OR_RETURN(const auto reader, OpenRange(digest, stored.encoding, 0, stored.stored_size));
  Bytes bytes(stored.stored_size);
  QF_RETURN_IF_ERROR(reader->Read(bytes));
  Bytes plain(plain_size);
  QF_RETURN_IF_ERROR(DecodeChunk(stored.encoding, bytes, plain));
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

}  // namespace quantfleet::pipeline
