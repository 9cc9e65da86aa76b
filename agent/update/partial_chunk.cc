#include "agent/update/partial_chunk.h"

namespace quantfleet::agent {

fs::path PartialChunk::PathOf(const Digest& digest, pipeline::Encoding encoding) const {
  return folder_ / fmt::format("{}.{}", digest.hex(), pipeline::Name(encoding));
}

uint64_t PartialChunk::SizeOf(const Digest& digest, pipeline::Encoding encoding) const {
  const fs::path path = PathOf(digest, encoding);
  if (!files_->Exists(path)) return 0;
  const auto file = files_->Open(path, OpenMode::kRead);
  const auto size = file.ok() ? (*file)->Size() : absl::StatusOr<uint64_t>(file.status());
  return size.ok() ? *size : 0;
}

absl::StatusOr<Bytes> PartialChunk::Take(const Digest& digest, pipeline::Encoding encoding,
                                         uint64_t size) {
  path_ = PathOf(digest, encoding);
  kept_ = 0;
  if (!files_->Exists(folder_)) return Bytes();
  QF_ASSIGN_OR_RETURN(const std::vector<std::string> there, files_->List(folder_));
  bool ours = false;
  for (const std::string& other : there) {
    if (path_.filename() == other)
      ours = true;
    else
      QF_RETURN_IF_ERROR(files_->Remove(folder_ / other));
  }
  if (!ours) return Bytes();
  QF_ASSIGN_OR_RETURN(const auto file, files_->Open(path_, OpenMode::kRead));
  QF_ASSIGN_OR_RETURN(kept_, file->Size());
  if (kept_ > size) {
    QF_RETURN_IF_ERROR(Drop());
    return Bytes();
  }
  Bytes bytes(kept_);
  QF_RETURN_IF_ERROR(file->ReadAt(0, bytes));
  return bytes;
}

absl::Status PartialChunk::Keep(ByteSpan come) {
  if (come.size() <= kept_) return absl::OkStatus();
  const bool fresh = kept_ == 0;
  if (fresh) QF_RETURN_IF_ERROR(files_->MakeFolder(folder_));
  QF_ASSIGN_OR_RETURN(const auto file, files_->Open(path_, OpenMode::kCreate));
  QF_RETURN_IF_ERROR(file->WriteAt(kept_, come.subspan(kept_)));
  QF_RETURN_IF_ERROR(file->Sync());
  if (fresh) QF_RETURN_IF_ERROR(files_->SyncDirectory(folder_));
  kept_ = come.size();
  return absl::OkStatus();
}

absl::Status PartialChunk::Drop() {
  if (kept_ == 0) return absl::OkStatus();
  kept_ = 0;
  return files_->Remove(path_);
}

}  // namespace quantfleet::agent
