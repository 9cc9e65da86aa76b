// Files and folders in memory, for tests and fuzzers that must not touch a disk. Thread-safe as
// File and FileSystem promise.
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "common/base/file.h"

namespace quantfleet::testing {

class MemoryFile final : public File {
 public:
  struct Content {
    std::mutex mutex;
    std::string bytes;
  };
  explicit MemoryFile(std::string bytes) : content_(std::make_shared<Content>()) {
    content_->bytes = std::move(bytes);
  }
  explicit MemoryFile(std::shared_ptr<Content> content) : content_(std::move(content)) {}

  absl::Status ReadAt(uint64_t offset, MutableBytes out) const override {
    std::lock_guard lock(content_->mutex);
    const std::string& bytes = content_->bytes;
    if (offset > bytes.size() || out.size() > bytes.size() - offset)
      return DataLoss("the file ends before byte {}", offset);
    std::ranges::copy(AsBytes(bytes).subspan(offset, out.size()), out.begin());
    return absl::OkStatus();
  }
  absl::Status WriteAt(uint64_t offset, ByteSpan bytes) override {
    std::lock_guard lock(content_->mutex);
    if (content_->bytes.size() < offset + bytes.size())
      content_->bytes.resize(offset + bytes.size());
    std::ranges::copy(AsText(bytes), content_->bytes.begin() + static_cast<std::ptrdiff_t>(offset));
    return absl::OkStatus();
  }
  absl::Status Resize(uint64_t size) override {
    std::lock_guard lock(content_->mutex);
    content_->bytes.resize(size);
    return absl::OkStatus();
  }
  absl::Status Sync() override { return absl::OkStatus(); }
  absl::StatusOr<uint64_t> Size() const override {
    std::lock_guard lock(content_->mutex);
    return content_->bytes.size();
  }

 private:
  std::shared_ptr<Content> content_;
};

class MemoryFileSystem final : public FileSystem {
 public:
  void Put(const fs::path& path, std::string bytes) {
    std::lock_guard lock(mutex_);
    auto content = std::make_shared<MemoryFile::Content>();
    content->bytes = std::move(bytes);
    files_[path.lexically_normal()] = std::move(content);
  }

  absl::StatusOr<std::unique_ptr<File>> Open(const fs::path& path, OpenMode mode) override {
    std::lock_guard lock(mutex_);
    auto& content = files_[path.lexically_normal()];
    if (content == nullptr) {
      if (mode != OpenMode::kCreate && mode != OpenMode::kPrivate) {
        files_.erase(path.lexically_normal());
        return NotFound("there is no file {}", path.string());
      }
      content = std::make_shared<MemoryFile::Content>();
    }
    return std::make_unique<MemoryFile>(content);
  }
  absl::Status Rename(const fs::path& from, const fs::path& to) override {
    std::lock_guard lock(mutex_);
    const auto it = files_.find(from.lexically_normal());
    if (it == files_.end()) return NotFound("there is no file {}", from.string());
    files_[to.lexically_normal()] = it->second;
    files_.erase(from.lexically_normal());
    return absl::OkStatus();
  }
  absl::Status Remove(const fs::path& path) override {
    std::lock_guard lock(mutex_);
    files_.erase(path.lexically_normal());
    return absl::OkStatus();
  }
  absl::Status RemoveTree(const fs::path& path) override {
    std::lock_guard lock(mutex_);
    std::erase_if(files_, [&](const auto& f) { return f.first == path || IsUnder(f.first, path); });
    return absl::OkStatus();
  }
  absl::Status CreateDirectories(const fs::path&) override { return absl::OkStatus(); }
  absl::Status SyncDirectory(const fs::path&) override { return absl::OkStatus(); }
  bool Exists(const fs::path& path) override {
    std::lock_guard lock(mutex_);
    return files_.contains(path.lexically_normal()) ||
           std::ranges::any_of(files_, [&](const auto& f) { return IsUnder(f.first, path); });
  }
  absl::StatusOr<std::vector<std::string>> List(const fs::path& path) override {
    std::lock_guard lock(mutex_);
    std::set<std::string> names;
    for (const auto& [file, content] : files_)
      if (IsUnder(file, path))
        names.insert(file.lexically_relative(path.lexically_normal()).begin()->string());
    if (names.empty()) return NotFound("there is no folder {}", path.string());
    return std::vector<std::string>(names.begin(), names.end());
  }
  absl::StatusOr<uint64_t> FreeSpace(const fs::path&) override { return uint64_t{1} << 40; }
  absl::StatusOr<std::unique_ptr<FileLock>> Lock(const fs::path&) override {
    return Unimplemented("memory has no locks");
  }
  bool IsLocked(const fs::path&) override { return false; }
  absl::Status MakeLink(const fs::path&, const fs::path&) override {
    return Unimplemented("memory has no links");
  }
  absl::StatusOr<fs::path> ReadLink(const fs::path& link) override {
    return NotFound("there is no link {}", link.string());
  }
  absl::StatusOr<std::string> ReadStream(const fs::path& path, uint64_t limit) override {
    QF_ASSIGN_OR_RETURN(std::string text, ReadAll(path));
    return text.substr(0, limit);
  }
  absl::StatusOr<int64_t> ModifiedAt(const fs::path& path) override {
    if (!Exists(path)) return NotFound("there is no file {}", path.string());
    return int64_t{0};
  }

 private:
  static bool IsUnder(const fs::path& file, const fs::path& folder) {
    const fs::path relative = file.lexically_relative(folder.lexically_normal());
    return !relative.empty() && relative != "." && *relative.begin() != "..";
  }

  std::mutex mutex_;
  std::map<fs::path, std::shared_ptr<MemoryFile::Content>> files_;
};

}  // namespace quantfleet::testing
