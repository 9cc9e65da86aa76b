#include "agent/update/download_journal.h"

#include <algorithm>

namespace quantfleet::agent {
namespace {

constexpr size_t kRecord = 16;
// Each chunk is recorded a few times at most; more is not our journal.
constexpr uint64_t kMaxRecordsPerChunk = 64;

}  // namespace

absl::StatusOr<DownloadJournal> DownloadJournal::Open(FileSystem& files, const fs::path& path,
                                                      std::vector<Digest> chunks) {
  DownloadJournal journal(files, path, std::move(chunks));
  QF_RETURN_IF_ERROR(journal.Load());
  return journal;
}

absl::Status DownloadJournal::Load() {
  const bool fresh = !files_->Exists(path_);
  QF_ASSIGN_OR_RETURN(file_, files_->Open(path_, OpenMode::kCreate));
  if (fresh) QF_RETURN_IF_ERROR(files_->SyncDirectory(path_.parent_path()));
  QF_ASSIGN_OR_RETURN(const uint64_t size, file_->Size());
  const uint64_t records = std::min<uint64_t>(size / kRecord, kMaxRecordsPerChunk * chunks_.size());
  Bytes bytes(records * kRecord);
  QF_RETURN_IF_ERROR(file_->ReadAt(0, bytes));
  end_ = bytes.size();  // a torn record at the end is written over
  for (size_t at = 0; at < bytes.size(); at += kRecord) {
    const JournalEntry entry{quantfleet::Load<uint32_t>(&bytes[at]),
                             quantfleet::Load<uint32_t>(&bytes[at + 4]),
                             quantfleet::Load<uint32_t>(&bytes[at + 8])};
    const auto check = quantfleet::Load<uint32_t>(&bytes[at + 12]);
    if (entry.chunk < chunks_.size() &&
        check == quantfleet::Load<uint32_t>(chunks_[entry.chunk].bytes.data()))
      Keep(entry);
  }
  return absl::OkStatus();
}

void DownloadJournal::Keep(const JournalEntry& entry) {
  const auto at = std::ranges::lower_bound(entries_, entry.chunk, {}, &JournalEntry::chunk);
  if (at != entries_.end() && at->chunk == entry.chunk) {
    *at = entry;
  } else {
    entries_.insert(at, entry);
  }
}

Bytes DownloadJournal::Encode(const std::vector<JournalEntry>& entries) const {
  Bytes bytes(entries.size() * kRecord);
  for (size_t i = 0; i < entries.size(); ++i) {
    std::byte* at = &bytes[i * kRecord];
    Store(at, entries[i].chunk);
    Store(at + 4, entries[i].pulled);
    Store(at + 8, entries[i].release);
    Store(at + 12, quantfleet::Load<uint32_t>(chunks_[entries[i].chunk].bytes.data()));
  }
  return bytes;
}

absl::Status DownloadJournal::Append(const std::vector<JournalEntry>& entries) {
  if (entries.empty()) return absl::OkStatus();
  const Bytes bytes = Encode(entries);
  QF_RETURN_IF_ERROR(file_->WriteAt(end_, bytes));
  QF_RETURN_IF_ERROR(file_->Sync());
  end_ += bytes.size();
  for (const JournalEntry& entry : entries) Keep(entry);
  return absl::OkStatus();
}

absl::Status DownloadJournal::Forget(const std::vector<uint32_t>& chunks) {
  std::vector<JournalEntry> kept;
  for (const JournalEntry& entry : entries_)
    if (std::ranges::find(chunks, entry.chunk) == chunks.end()) kept.push_back(entry);
  const Bytes bytes = Encode(kept);
  file_ = nullptr;
  QF_RETURN_IF_ERROR(files_->WriteAtomically(path_, bytes));
  QF_ASSIGN_OR_RETURN(file_, files_->Open(path_, OpenMode::kUpdate));
  end_ = bytes.size();
  entries_ = std::move(kept);
  return absl::OkStatus();
}

}  // namespace quantfleet::agent
