// A file system whose disk fills up: writes pass through to the real one until a byte budget is
// spent, then fail as ENOSPC would. For tests. Thread-safe.
#pragma once

#include <atomic>
#include <memory>

#include "common/base/file.h"

namespace quantfleet::testing {

class FaultyFileSystem final : public FileSystem {
 public:
  explicit FaultyFileSystem(int64_t write_budget) : budget_(write_budget) {}
  void SetWriteBudget(int64_t bytes) { budget_ = bytes; }

  absl::StatusOr<std::unique_ptr<File>> Open(const fs::path& path, OpenMode mode) override {
    QF_ASSIGN_OR_RETURN(auto file, real_.Open(path, mode));
    return std::make_unique<BudgetFile>(std::move(file), *this);
  }
  absl::Status Rename(const fs::path& a, const fs::path& b) override { return real_.Rename(a, b); }
  absl::Status Remove(const fs::path& p) override { return real_.Remove(p); }
  absl::Status RemoveTree(const fs::path& p) override { return real_.RemoveTree(p); }
  absl::Status CreateDirectories(const fs::path& p) override { return real_.CreateDirectories(p); }
  absl::Status SyncDirectory(const fs::path& p) override { return real_.SyncDirectory(p); }
  bool Exists(const fs::path& p) override { return real_.Exists(p); }
  absl::StatusOr<std::vector<std::string>> List(const fs::path& p) override {
    return real_.List(p);
  }
  absl::StatusOr<uint64_t> FreeSpace(const fs::path& p) override { return real_.FreeSpace(p); }

 private:
  class BudgetFile final : public File {
   public:
    BudgetFile(std::unique_ptr<File> file, FaultyFileSystem& owner)
        : file_(std::move(file)), owner_(owner) {}
    absl::Status ReadAt(uint64_t at, MutableBytes out) const override {
      return file_->ReadAt(at, out);
    }
    absl::Status WriteAt(uint64_t at, ByteSpan bytes) override {
      if (owner_.budget_.fetch_sub(static_cast<int64_t>(bytes.size())) <
          static_cast<int64_t>(bytes.size()))
        return ResourceExhausted("writing: No space left on device (injected)");
      return file_->WriteAt(at, bytes);
    }
    absl::Status Resize(uint64_t size) override { return file_->Resize(size); }
    absl::Status Sync() override { return file_->Sync(); }
    absl::StatusOr<uint64_t> Size() const override { return file_->Size(); }

   private:
    std::unique_ptr<File> file_;
    FaultyFileSystem& owner_;
  };

  FileSystem& real_ = RealFileSystem();
  std::atomic<int64_t> budget_;
};

}  // namespace quantfleet::testing
