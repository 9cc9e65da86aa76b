#include "pipeline/artifact/verify.h"

#include "pipeline/artifact/encoding.h"

namespace quantfleet::pipeline {
namespace {

absl::Status VerifyFile(FileSystem& files, const fs::path& path, const v1::ArtifactFile& wanted,
                        uint64_t done, const std::function<void(uint64_t)>& on_progress,
                        const std::stop_token& stop) {
  QF_ASSIGN_OR_RETURN(auto file, files.Open(path, OpenMode::kOutside));
  QF_ASSIGN_OR_RETURN(const uint64_t size, file->Size());
  if (size != wanted.size())
    return DataLoss("{} has {} bytes, but its manifest says {}", path.string(), size,
                    wanted.size());
  uint64_t offset = 0;
  for (int i = 0; i < wanted.chunks_size(); ++i) {
    if (stop.stop_requested()) return Cancelled("stopped");
    const v1::Chunk& chunk = wanted.chunks(i);
    QF_RETURN_IF_ERROR(Annotate(VerifyChunk(*file, offset, chunk),
                                fmt::format("{}: chunk {} of {} at byte {}", path.string(), i + 1,
                                            wanted.chunks_size(), offset)));
    offset += chunk.size();
    if (on_progress) on_progress(done + offset);
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status VerifyChunk(const File& file, uint64_t offset, const v1::Chunk& chunk) {
  if (chunk.size() > kMaxChunkBytes) return InvalidArgument("a chunk of {} bytes", chunk.size());
  QF_ASSIGN_OR_RETURN(const Digest wanted, Digest::FromRaw(chunk.digest()));
  Bytes bytes(chunk.size());
  QF_RETURN_IF_ERROR(file.ReadAt(offset, bytes));
  if (const Digest found = HashBytes(bytes); found != wanted)
    return DataLoss("damaged: its digest is {}, but the manifest says {}", found.hex(),
                    wanted.hex());
  return absl::OkStatus();
}

absl::Status VerifyFolder(FileSystem& files, const fs::path& folder, const v1::Manifest& manifest,
                          const std::function<void(uint64_t)>& on_progress, std::stop_token stop) {
  uint64_t done = 0;
  for (const v1::ArtifactFile& file : manifest.files()) {
    QF_RETURN_IF_ERROR(VerifyFile(files, folder / file.path(), file, done, on_progress, stop));
    done += file.size();
  }
  return absl::OkStatus();
}

absl::StatusOr<v1::Manifest> ReadManifest(FileSystem& files, const fs::path& path) {
  QF_ASSIGN_OR_RETURN(const std::string bytes, files.ReadAll(path));
  auto manifest = ParseManifest(bytes);
  if (!manifest.ok()) return Annotate(manifest.status(), path.string());
  return manifest;
}

}  // namespace quantfleet::pipeline
