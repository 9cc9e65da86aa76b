// A file system whose machine loses power at the n-th change: that change is half done (a write) or
// not done at all, and nothing works any more afterwards. Without a number it lives on; it never
// waits for a disk, so that tests are quick. For tests; not thread-safe.
#pragma once

#include <memory>

#include "common/base/file.h"

namespace quantfleet::testing {

class DyingFileSystem final : public FileSystem {
 public:
  explicit DyingFileSystem(int changes_left = 1 << 30) : left_(changes_left) {}
  bool dead() const { return left_ < 0; }

  absl::StatusOr<std::unique_ptr<File>> Open(const fs::path& path, OpenMode mode) override {
    const bool makes = mode == OpenMode::kCreate || mode == OpenMode::kPrivate;
    if (makes && !real_.Exists(path)) QF_RETURN_IF_ERROR(Change());
    if (dead()) return Dead();
    QF_ASSIGN_OR_RETURN(auto file, real_.Open(path, mode));
    return std::make_unique<DyingFile>(std::move(file), *this);
  }
  absl::Status Rename(const fs::path& a, const fs::path& b) override {
    return Then([&] { return real_.Rename(a, b); });
  }
  absl::Status Remove(const fs::path& p) override {
    return Then([&] { return real_.Remove(p); });
  }
  absl::Status RemoveTree(const fs::path& p) override {
    return Then([&] { return real_.RemoveTree(p); });
  }
  absl::Status CreateDirectories(const fs::path& p) override {
    return Then([&] { return real_.CreateDirectories(p); });
  }
  absl::Status SyncDirectory(const fs::path&) override {
    return Then([] { return absl::OkStatus(); });
  }
  bool Exists(const fs::path& p) override { return real_.Exists(p); }
  absl::StatusOr<std::vector<std::string>> List(const fs::path& p) override {
    return real_.List(p);
  }
  absl::StatusOr<uint64_t> FreeSpace(const fs::path& p) override { return real_.FreeSpace(p); }

 private:
  static absl::Status Dead() { return Unavailable("the power is gone (injected)"); }
  absl::Status Change() { return left_ < 0 || --left_ < 0 ? Dead() : absl::OkStatus(); }
  template <typename Action>
  absl::Status Then(Action action) {
    QF_RETURN_IF_ERROR(Change());
    return action();
  }

  class DyingFile final : public File {
   public:
    DyingFile(std::unique_ptr<File> file, DyingFileSystem& owner)
        : file_(std::move(file)), owner_(owner) {}
    absl::Status ReadAt(uint64_t at, MutableBytes out) const override {
      return file_->ReadAt(at, out);
    }
    absl::Status WriteAt(uint64_t at, ByteSpan bytes) override {
      const bool was_dead = owner_.dead();
      const absl::Status change = owner_.Change();
      if (!change.ok() && !was_dead)
        file_->WriteAt(at, bytes.first(bytes.size() / 2)).IgnoreError();
      return change.ok() ? file_->WriteAt(at, bytes) : change;
    }
    absl::Status Resize(uint64_t size) override {
      QF_RETURN_IF_ERROR(owner_.Change());
      return file_->Resize(size);
    }
    absl::Status Sync() override { return owner_.Change(); }
    absl::StatusOr<uint64_t> Size() const override { return file_->Size(); }

   private:
    std::unique_ptr<File> file_;
    DyingFileSystem& owner_;
  };

  FileSystem& real_ = RealFileSystem();
  int left_;
};

}  // namespace quantfleet::testing
