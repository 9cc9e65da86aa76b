#include "pipeline/stage/folder_journal.h"

#include <algorithm>
#include <string_view>

namespace quantfleet::pipeline {
namespace {

// Header: magic, run. Frame: u32 bytes of payload, first 8 bytes of the payload's digest, payload =
// u64 slab, record.
constexpr std::string_view kMagic = "quantfleet run 1\n";
constexpr size_t kCheckSize = 8;
constexpr size_t kFrameHead = sizeof(uint32_t) + kCheckSize;
constexpr uint64_t kLargest = uint64_t{1} << 30;

template <typename T>
void Append(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

std::string_view CheckOf(const Digest& digest) {
  return AsText(digest.span()).substr(0, kCheckSize);
}

std::string Header(const Digest& run) { return std::string(kMagic) + run.raw(); }

// The payload of the frame that `bytes` begins with; empty when it is cut or damaged.
std::string_view Payload(std::string_view bytes) {
  if (bytes.size() < kFrameHead) return {};
  const auto size = quantfleet::Load<uint32_t>(AsBytes(bytes).data());
  const std::string_view check = bytes.substr(sizeof(uint32_t), kCheckSize);
  bytes.remove_prefix(kFrameHead);
  if (size <= sizeof(uint64_t) || size > bytes.size()) return {};
  const std::string_view payload = bytes.substr(0, size);
  return CheckOf(HashText(payload)) == check ? payload : std::string_view();
}

}  // namespace

absl::StatusOr<std::unique_ptr<FolderJournal>> FolderJournal::Open(FileSystem& files,
                                                                   const fs::path& path,
                                                                   const Digest& run, bool resume,
                                                                   const Plan& plan,
                                                                   ReadChunk read_chunk) {
  QF_ASSIGN_OR_RETURN(auto file, files.Open(path, OpenMode::kCreate));
  std::unique_ptr<FolderJournal> journal(
      new FolderJournal(std::move(file), plan, std::move(read_chunk)));
  if (resume) QF_RETURN_IF_ERROR(journal->Load(run));
  if (journal->end_ == 0) {
    const std::string header = Header(run);
    QF_RETURN_IF_ERROR(journal->file_->Resize(0));
    QF_RETURN_IF_ERROR(journal->file_->WriteAt(0, AsBytes(header)));
    journal->end_ = header.size();
  }
  return journal;
}

absl::Status FolderJournal::Load(const Digest& run) {
  QF_ASSIGN_OR_RETURN(const uint64_t size, file_->Size());
  const std::string header = Header(run);
  if (size < header.size() || size > kLargest) return absl::OkStatus();
  std::string content(size, '\0');
  QF_RETURN_IF_ERROR(
      file_->ReadAt(0, {reinterpret_cast<std::byte*>(content.data()), content.size()}));
  if (!content.starts_with(header)) return absl::OkStatus();
  end_ = header.size();
  // What follows a cut frame was never acknowledged; the next frame overwrites it.
  for (;;) {
    const std::string_view payload = Payload(std::string_view(content).substr(end_));
    if (payload.empty()) return absl::OkStatus();
    const auto slab = quantfleet::Load<uint64_t>(AsBytes(payload).data());
    auto record = ParseSlabRecord(payload.substr(sizeof(uint64_t)));
    if (slab < plan_.slabs.size() && record.ok() && Fits(*record))
      loaded_.insert_or_assign(static_cast<size_t>(slab), std::move(*record));
    end_ += kFrameHead + payload.size();
  }
}

bool FolderJournal::Fits(const SlabRecord& record) const {
  return std::ranges::all_of(record.chunks, [&](const SlabRecord::Chunk& chunk) {
    return chunk.target < plan_.targets.size() &&
           chunk.index < plan_.targets[chunk.target].chunks.size();
  });
}

uint64_t FolderJournal::loaded_bytes() const {
  uint64_t bytes = 0;
  for (const auto& [slab, record] : loaded_)
    for (const SlabRecord::Chunk& chunk : record.chunks)
      bytes += plan_.targets[chunk.target].chunks[chunk.index].size;
  return bytes;
}

const SlabRecord* FolderJournal::Find(size_t slab) const {
  const auto at = loaded_.find(slab);
  if (at == loaded_.end()) return nullptr;
  Bytes bytes;
  for (const SlabRecord::Chunk& recorded : at->second.chunks) {
    const PlannedChunk& chunk = plan_.targets[recorded.target].chunks[recorded.index];
    bytes.resize(chunk.size);
    if (!read_chunk_(recorded.target, chunk, bytes).ok() || HashBytes(bytes) != recorded.digest)
      return nullptr;
  }
  return &at->second;
}

absl::Status FolderJournal::Record(size_t slab, const SlabRecord& record) {
  std::string payload;
  Append(payload, static_cast<uint64_t>(slab));
  payload += SerializeSlabRecord(record);
  std::string frame;
  Append(frame, static_cast<uint32_t>(payload.size()));
  frame += CheckOf(HashText(payload));
  frame += payload;
  const std::lock_guard lock(mutex_);
  QF_RETURN_IF_ERROR(file_->WriteAt(end_, AsBytes(frame)));
  end_ += frame.size();
  return absl::OkStatus();
}

}  // namespace quantfleet::pipeline
