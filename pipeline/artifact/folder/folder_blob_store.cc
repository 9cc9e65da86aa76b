#include "pipeline/artifact/folder/folder_blob_store.h"

#include <atomic>

#include "common/base/fail_point.h"
#include "common/base/random.h"

namespace quantfleet::pipeline {
namespace {

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

class FileReader final : public BlobReader {
 public:
  FileReader(std::unique_ptr<File> file, uint64_t first, uint64_t length)
      : BlobReader(length), file_(std::move(file)), at_(first) {}

 private:
  absl::Status ReadNext(MutableBytes out) override {
    QF_RETURN_IF_ERROR(file_->ReadAt(at_, out));
    at_ += out.size();
    return absl::OkStatus();
  }

  const std::unique_ptr<File> file_;
  uint64_t at_;
};

}  // namespace

FolderBlobStore::FolderBlobStore(FileSystem& files, fs::path root)
    : files_(files), root_(std::move(root)) {}

fs::path FolderBlobStore::PathOf(const Digest& digest, Encoding encoding) const {
  const std::string hex = digest.hex();
  return root_ / hex.substr(0, 2) / fmt::format("{}.{}", hex, pipeline::Name(encoding));
}

std::string FolderBlobStore::NameOf(const Digest& digest, Encoding encoding) const {
  return PathOf(digest, encoding).string();
}

// Two threads that store the same chunk write the same bytes to two temporary files; the second
// rename replaces the first's file by its equal.
absl::Status FolderBlobStore::PutForm(const Digest& digest, Encoding encoding, ByteSpan stored) {
  const fs::path path = PathOf(digest, encoding);
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
    QF_RETURN_IF_ERROR(file->WriteAt(0, stored));
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

// Another thread may have renamed it and not yet synced the folder.
absl::Status FolderBlobStore::Settle(const Digest& digest, Encoding encoding) {
  return files_.SyncDirectory(PathOf(digest, encoding).parent_path());
}

absl::StatusOr<uint64_t> FolderBlobStore::Stat(const Digest& digest, Encoding encoding) const {
  QF_ASSIGN_OR_RETURN(const auto file, files_.Open(PathOf(digest, encoding), OpenMode::kRead));
  return file->Size();
}

absl::StatusOr<std::unique_ptr<BlobReader>> FolderBlobStore::OpenRange(const Digest& digest,
                                                                       Encoding encoding,
                                                                       uint64_t first,
                                                                       uint64_t length) const {
  const fs::path path = PathOf(digest, encoding);
  QF_ASSIGN_OR_RETURN(auto file, files_.Open(path, OpenMode::kRead));
  QF_ASSIGN_OR_RETURN(const uint64_t size, file->Size());
  if (first > size || length > size - first)
    return OutOfRange("{} has {} bytes, not {} from byte {}", path.string(), size, length, first);
  return std::make_unique<FileReader>(std::move(file), first, length);
}

absl::Status FolderBlobStore::RemoveForm(const Digest& digest, Encoding encoding) {
  return files_.Remove(PathOf(digest, encoding));
}

absl::Status FolderBlobStore::List(
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
      QF_RETURN_IF_ERROR(visit(blob->first, {blob->second, size}));
    }
  }
  return absl::OkStatus();
}

absl::Status FolderBlobStore::RemoveTemporaries() {
  root_made_ = false;
  return files_.RemoveTree(root_ / "incoming");
}

}  // namespace quantfleet::pipeline
