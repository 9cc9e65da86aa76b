#include "pipeline/artifact/blob_store.h"

#include <atomic>

#include "common/base/fail_point.h"
#include "common/base/random.h"

namespace quantfleet::pipeline {
namespace {

constexpr Encoding kEncodings[] = {Encoding::kRaw, Encoding::kZstd, Encoding::kPlanes2Zstd,
                                   Encoding::kPlanes4Zstd};

// Unique among the threads of this process and, by its random part, among processes that share the
// folder.
std::string TemporaryName() {
  static const std::string process = [] {
    SecureRandom random;
    return random.Id("", 8);
  }();
  static std::atomic<uint64_t> count{0};
  return fmt::format("{}-{}", process, count.fetch_add(1));
}

constexpr size_t kHexDigits = 2 * Digest::kSize;

// "<digest>.<encoding>"
std::optional<std::pair<Digest, Encoding>> ParseBlobName(std::string_view name) {
  if (name.size() <= kHexDigits || name[kHexDigits] != '.') return std::nullopt;
  const auto digest = Digest::FromHexText(name.substr(0, kHexDigits));
  const auto encoding = EncodingFromName(name.substr(kHexDigits + 1));
  if (!digest.ok() || !encoding) return std::nullopt;
  return std::pair(*digest, *encoding);
}

}  // namespace

BlobStore::BlobStore(FileSystem& files, fs::path root) : files_(files), root_(std::move(root)) {}

fs::path BlobStore::PathOf(const Digest& digest, Encoding encoding) const {
  const std::string hex = digest.hex();
  return root_ / hex.substr(0, 2) / fmt::format("{}.{}", hex, Name(encoding));
}

absl::StatusOr<BlobStore::Stored> BlobStore::Put(const Digest& digest, ByteSpan plain,
                                                 int element_bytes) {
  if (plain.size() > kMaxChunkBytes)
    return InvalidArgument("a chunk of {} bytes: at most {} are allowed", plain.size(),
                           kMaxChunkBytes);
  if (auto found = Find(digest); found.ok()) {
    // Another thread may have renamed it and not yet synced the folder: durable on return holds for
    // us too.
    QF_RETURN_IF_ERROR(files_.SyncDirectory(found->path.parent_path()));
    return found;
  }
  const EncodedChunk encoded = EncodeChunk(plain, element_bytes);
  const ByteSpan bytes = encoded.encoding == Encoding::kRaw ? plain : ByteSpan(encoded.bytes);
  Stored stored{encoded.encoding, bytes.size(), PathOf(digest, encoded.encoding)};
  QF_RETURN_IF_ERROR(WriteNew(stored.path, bytes));
  return stored;
}

// Two threads that store the same chunk write the same bytes to two temporary files; the second
// rename replaces the first's file by its equal.
absl::Status BlobStore::WriteNew(const fs::path& path, ByteSpan bytes) {
  const fs::path folder = path.parent_path(), incoming = root_ / "incoming";
  if (!root_made_) {
    QF_RETURN_IF_ERROR(files_.MakeFolder(root_));
    QF_RETURN_IF_ERROR(files_.MakeFolder(incoming));
    root_made_ = true;
  }
  if (!files_.Exists(folder)) QF_RETURN_IF_ERROR(files_.MakeFolder(folder));
  const fs::path temporary = incoming / TemporaryName();
  FailPoint("blob-before-write");
  const absl::Status written = [&]() -> absl::Status {
    QF_ASSIGN_OR_RETURN(auto file, files_.Open(temporary, OpenMode::kCreate));
    QF_RETURN_IF_ERROR(file->WriteAt(0, bytes));
    QF_RETURN_IF_ERROR(file->Sync());
    FailPoint("blob-before-rename");
    return files_.Rename(temporary, path);
  }();
  if (!written.ok()) {
    files_.Remove(temporary).IgnoreError();
    return Annotate(written, fmt::format("storing a chunk in {}", root_.string()));
  }
  FailPoint("blob-after-rename");
  return files_.SyncDirectory(folder);
}

absl::StatusOr<BlobStore::Stored> BlobStore::Find(const Digest& digest) const {
  for (const Encoding encoding : kEncodings) {
    const fs::path path = PathOf(digest, encoding);
    if (!files_.Exists(path)) continue;
    auto file = files_.Open(path, OpenMode::kRead);
    if (!file.ok() && absl::IsNotFound(file.status())) continue;  // removed this very moment
    QF_RETURN_IF_ERROR(file.status());
    QF_ASSIGN_OR_RETURN(const uint64_t size, (*file)->Size());
    return Stored{encoding, size, path};
  }
  return NotFound("no blob {} in {}", digest.hex(), root_.string());
}

absl::StatusOr<Bytes> BlobStore::ReadForm(const Stored& stored, const Digest& digest,
                                          uint32_t plain_size) const {
  if (stored.stored_size > plain_size)
    return DataLoss("{} bytes are stored for a chunk of {}", stored.stored_size, plain_size);
  QF_ASSIGN_OR_RETURN(auto file, files_.Open(stored.path, OpenMode::kRead));
  Bytes bytes(stored.stored_size);
  QF_RETURN_IF_ERROR(file->ReadAt(0, bytes));
  Bytes plain(plain_size);
  QF_RETURN_IF_ERROR(DecodeChunk(stored.encoding, bytes, plain));
  if (HashBytes(plain) != digest) return DataLoss("its bytes have another digest");
  return plain;
}

absl::StatusOr<Bytes> BlobStore::Read(const Digest& digest, uint32_t plain_size) const {
  if (plain_size > kMaxChunkBytes)
    return InvalidArgument("a chunk of {} bytes: at most {} are allowed", plain_size,
                           kMaxChunkBytes);
  QF_ASSIGN_OR_RETURN(const Stored stored, Find(digest));
  auto plain = ReadForm(stored, digest, plain_size);
  if (absl::IsDataLoss(plain.status()))
    return Annotate(plain.status(), fmt::format("blob {} is damaged", stored.path.string()));
  return plain;
}

absl::Status BlobStore::Remove(const Digest& digest) {
  for (const Encoding encoding : kEncodings)
    QF_RETURN_IF_ERROR(files_.Remove(PathOf(digest, encoding)));
  return absl::OkStatus();
}

absl::Status BlobStore::ForEach(
    const std::function<absl::Status(const Digest&, const Stored&)>& visit) const {
  constexpr int kFolders = 256;
  for (int i = 0; i < kFolders; ++i) {
    const fs::path folder = root_ / fmt::format("{:02x}", i);
    if (!files_.Exists(folder)) continue;
    QF_ASSIGN_OR_RETURN(const std::vector<std::string> names, files_.List(folder));
    for (const std::string& name : names) {
      const auto blob = ParseBlobName(name);
      if (!blob || PathOf(blob->first, blob->second) != folder / name) continue;
      QF_ASSIGN_OR_RETURN(const auto file, files_.Open(folder / name, OpenMode::kRead));
      QF_ASSIGN_OR_RETURN(const uint64_t size, file->Size());
      QF_RETURN_IF_ERROR(visit(blob->first, {blob->second, size, folder / name}));
    }
  }
  return absl::OkStatus();
}

absl::Status BlobStore::RemoveTemporaries() {
  root_made_ = false;
  return files_.RemoveTree(root_ / "incoming");
}

}  // namespace quantfleet::pipeline
