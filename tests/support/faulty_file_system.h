// The machine's own disk with faults: it fills up, its power goes at the n-th change, and what was
// not synced by then is forgotten. It never waits for a disk, so that tests are quick. For tests.
//
//   FaultyFileSystem files({.changes = 7}, root);
//   ... what is tried ends at the 7th change ...
//   files.CutPower(Loss::kAll);   // and the machine is on again
//
// What a power cut leaves is as strict as POSIX is: a file's bytes and size as at its last Sync, a
// folder's entries as at its last SyncDirectory, so a file that was synced in a folder that was
// not is gone. Real file systems keep more, in any mixture; Loss names the ones that hurt.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "common/base/file.h"

namespace quantfleet::testing {

struct Faults {
  // Bytes that may still be written; then RESOURCE_EXHAUSTED, as ENOSPC is.
  int64_t write_budget = std::numeric_limits<int64_t>::max();
  // Changes until the power goes, syncs among them: the next one is half done (a write) or not done
  // at all, and nothing works any more, UNAVAILABLE.
  int64_t changes = std::numeric_limits<int64_t>::max();
  bool read_only = false;  // every change is PERMISSION_DENIED, as EROFS is
};

// What goes with the power.
enum class Loss {
  kNothing,  // the process was killed: the disk has all that was done
  kData,     // names are kept, bytes that were not synced are not
  kAll,      // names and bytes that were not synced
};
inline constexpr Loss kLosses[] = {Loss::kNothing, Loss::kData, Loss::kAll};

// Thread-safe but for CutPower.
class FaultyFileSystem final : public FileSystem {
 public:
  // `root`: the folder that CutPower is about; what is there already is on the disk. Empty: none.
  explicit FaultyFileSystem(Faults faults = {}, fs::path root = {});
  ~FaultyFileSystem() override;

  void SetWriteBudget(int64_t bytes);
  // What the disk says is free, whatever it holds; before anything else uses it.
  void SetFreeSpace(uint64_t bytes) { free_space_ = bytes; }
  void SetChanges(int64_t changes);
  void SetReadOnly(bool read_only);
  bool dead() const;  // the power is gone
  int64_t changes_made() const;
  // The power goes, now or a while ago, and comes again: the root is as `loss` leaves it, without
  // faults from then on. Files that were open lead nowhere.
  void CutPower(Loss loss);

  absl::StatusOr<std::unique_ptr<File>> Open(const fs::path& path, OpenMode mode) override;
  absl::Status Rename(const fs::path& from, const fs::path& to) override;
  absl::Status Remove(const fs::path& path) override;
  absl::Status RemoveTree(const fs::path& path) override;
  absl::Status CreateDirectories(const fs::path& path) override;
  absl::Status SyncDirectory(const fs::path& path) override;
  bool Exists(const fs::path& path) override { return real_.Exists(path); }
  absl::StatusOr<std::vector<std::string>> List(const fs::path& path) override {
    return real_.List(path);
  }
  absl::StatusOr<uint64_t> FreeSpace(const fs::path& path) override {
    if (free_space_) return *free_space_;
    return real_.FreeSpace(path);
  }
  absl::StatusOr<std::unique_ptr<FileLock>> Lock(const fs::path& path) override {
    return real_.Lock(path);
  }
  bool IsLocked(const fs::path& path) override { return real_.IsLocked(path); }
  absl::Status AddName(const fs::path& file, const fs::path& name) override;
  absl::Status MakeLink(const fs::path& target, const fs::path& link) override;
  absl::StatusOr<fs::path> ReadLink(const fs::path& link) override { return real_.ReadLink(link); }
  absl::StatusOr<std::string> ReadStream(const fs::path& path, uint64_t limit) override {
    return real_.ReadStream(path, limit);
  }

 private:
  class FaultyFile;
  class Disk;
  // Counts one; UNAVAILABLE when the power went with it or before.
  absl::Status Change();
  // PERMISSION_DENIED when something that `changes` the disk is tried on one that is read-only.
  absl::Status Takes(bool changes) const;
  absl::Status Spend(size_t bytes);

  FileSystem& real_ = RealFileSystem();
  std::optional<uint64_t> free_space_;
  mutable std::mutex mutex_;  // guards what follows
  Faults left_;
  int64_t made_ = 0;
  int64_t life_ = 0;            // of the machine
  std::unique_ptr<Disk> disk_;  // null without a root
};

}  // namespace quantfleet::testing
