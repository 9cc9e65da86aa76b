#include "agent/update/slot_check.h"

#include "pipeline/artifact/verify.h"

namespace quantfleet::agent {

uint64_t SizeOf(const v1::Manifest& manifest) {
  uint64_t size = 0;
  for (const v1::ArtifactFile& file : manifest.files()) size += file.size();
  return size;
}

Tried<std::vector<uint32_t>> FindDamage(FileSystem& files, const fs::path& folder,
                                        const v1::Manifest& manifest, const Clock& clock,
                                        Sleeper& sleeper, std::stop_token stop) {
  std::vector<uint32_t> damaged;
  uint32_t index = 0;
  uint64_t read = 0;
  const Duration began = clock.Monotonic();
  for (const v1::ArtifactFile& wanted : manifest.files()) {
    const auto file = files.Open(folder / wanted.path(), OpenMode::kRead);
    uint64_t offset = 0;
    for (const v1::Chunk& chunk : wanted.chunks()) {
      if (stop.stop_requested()) return Setback(Reason::kInterrupted, "the check was stopped");
      // One that cannot be read is as good as lost, whatever the disk says of it.
      if (!file.ok() || !pipeline::VerifyChunk(**file, offset, chunk).ok())
        damaged.push_back(index);
      ++index;
      offset += chunk.size();
      read += chunk.size();
      const Duration due = began +
                           Duration(static_cast<int64_t>(read / (kCheckBytesPerSecond / 1000))) -
                           std::chrono::seconds(1);
      if (const Duration now = clock.Monotonic(); due > now && !sleeper.Sleep(due - now, stop))
        return Setback(Reason::kInterrupted, "the check was stopped");
    }
  }
  return damaged;
}

}  // namespace quantfleet::agent
