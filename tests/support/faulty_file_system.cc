#include "tests/support/faulty_file_system.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <optional>
#include <stdexcept>
#include <utility>

namespace quantfleet::testing {
namespace {

using Inode = uint64_t;

void Must(bool holds, const fs::path& path) {
  if (!holds) throw std::runtime_error("the test's own disk fails at " + path.string());
}

absl::Status Dead() { return Unavailable("the power is gone (injected)"); }

}  // namespace

// What the disk below a root has for good. Files and folders go by their inodes, which stay while
// names move; each that is known is held open, so that its number is not given to another.
class FaultyFileSystem::Disk {
 public:
  explicit Disk(fs::path root) : root_(std::move(root)) {
    fs::create_directories(root_);
    KeepAll();
  }
  ~Disk() { Forget(); }

  // nullopt: nothing stands there.
  std::optional<Inode> Hold(const fs::path& path) {
    const int fd = ::open(path.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) return std::nullopt;
    struct stat st;
    Must(::fstat(fd, &st) == 0, path);
    if (!held_.emplace(st.st_ino, fd).second) ::close(fd);
    return st.st_ino;
  }
  void Synced(Inode inode, const File& file) {
    std::string bytes(file.Size().value(), '\0');
    Must(file.ReadAt(0, std::as_writable_bytes(std::span(bytes))).ok(), root_);
    files_[inode] = std::move(bytes);
  }
  void FolderSynced(const fs::path& folder) {
    const auto inode = Hold(folder);
    if (!inode) return;
    std::map<std::string, Entry> entries;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(folder, error)) {
      const auto held = Hold(entry.path());
      if (!held) continue;
      Entry& kept = entries[entry.path().filename().string()];
      kept.inode = *held;
      kept.kind = entry.symlink_status().type();
      if (kept.kind == fs::file_type::symlink) kept.target = fs::read_symlink(entry.path());
    }
    folders_[*inode] = std::move(entries);
  }
  void CutPower(Loss loss) {
    if (loss == Loss::kData) LoseData();
    if (loss == Loss::kAll) Rebuild();
    Forget();
    KeepAll();
  }

 private:
  struct Entry {
    Inode inode = 0;
    fs::file_type kind = fs::file_type::none;
    fs::path target;  // of a link
  };

  void Forget() {
    for (const auto& [inode, fd] : held_) ::close(fd);
    held_.clear();
    files_.clear();
    folders_.clear();
  }
  // All that stands there is on the disk.
  void KeepAll() {
    FolderSynced(root_);
    for (const auto& entry : fs::recursive_directory_iterator(root_)) {
      const fs::file_type kind = entry.symlink_status().type();
      if (kind == fs::file_type::directory) FolderSynced(entry.path());
      if (kind == fs::file_type::regular)
        Synced(*Hold(entry.path()), *RealFileSystem().Open(entry.path(), OpenMode::kRead).value());
    }
  }
  mode_t ModeOf(Inode inode) const {
    struct stat st;
    return ::fstat(held_.at(inode), &st) == 0 ? st.st_mode & 07777 : 0600;
  }
  void Write(const fs::path& path, Inode inode) const {
    const auto kept = files_.find(inode);
    const std::string none;
    const std::string& bytes = kept == files_.end() ? none : kept->second;
    const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    Must(fd >= 0, path);
    for (size_t done = 0; done < bytes.size();) {
      const ssize_t n = ::write(fd, bytes.data() + done, bytes.size() - done);
      Must(n > 0, path);
      done += static_cast<size_t>(n);
    }
    if (held_.contains(inode)) ::fchmod(fd, ModeOf(inode));
    ::close(fd);
  }
  void LoseData() const {
    for (const auto& entry : fs::recursive_directory_iterator(root_)) {
      struct stat st;
      if (entry.symlink_status().type() == fs::file_type::regular &&
          ::stat(entry.path().c_str(), &st) == 0)
        Write(entry.path(), st.st_ino);
    }
  }
  void Build(const fs::path& folder, Inode inode) const {
    const auto kept = folders_.find(inode);
    if (kept == folders_.end()) return;  // itself on the disk, nothing in it
    for (const auto& [name, entry] : kept->second) {
      const fs::path path = folder / name;
      if (entry.kind == fs::file_type::directory) {
        fs::create_directory(path);
        Build(path, entry.inode);
        ::chmod(path.c_str(), ModeOf(entry.inode));
      } else if (entry.kind == fs::file_type::symlink) {
        fs::create_symlink(entry.target, path);
      } else {
        Write(path, entry.inode);
      }
    }
  }
  void Rebuild() {
    const auto inode = Hold(root_);
    Must(inode.has_value(), root_);
    const fs::path built = root_.parent_path() / (root_.filename().string() + ".after-power-cut");
    fs::create_directory(built);
    Build(built, *inode);
    for (const auto& entry : fs::directory_iterator(root_)) fs::remove_all(entry.path());
    for (const auto& entry : fs::directory_iterator(built))
      fs::rename(entry.path(), root_ / entry.path().filename());
    fs::remove(built);
  }

  const fs::path root_;
  std::map<Inode, int> held_;
  std::map<Inode, std::string> files_;
  std::map<Inode, std::map<std::string, Entry>> folders_;
};

class FaultyFileSystem::FaultyFile final : public File {
 public:
  FaultyFile(std::unique_ptr<File> file, Inode inode, FaultyFileSystem& owner)
      : file_(std::move(file)), inode_(inode), owner_(owner), life_(owner.life_) {}
  absl::Status ReadAt(uint64_t at, MutableBytes out) const override {
    return file_->ReadAt(at, out);
  }
  absl::Status WriteAt(uint64_t at, ByteSpan bytes) override {
    const std::lock_guard lock(owner_.mutex_);
    QF_RETURN_IF_ERROR(SameLife());
    QF_RETURN_IF_ERROR(owner_.Takes(true));
    const bool was_dead = owner_.left_.changes < 0;
    const absl::Status change = owner_.Change();
    if (!change.ok()) {
      if (!was_dead) file_->WriteAt(at, bytes.first(bytes.size() / 2)).IgnoreError();
      return change;
    }
    QF_RETURN_IF_ERROR(owner_.Spend(bytes.size()));
    return file_->WriteAt(at, bytes);
  }
  absl::Status Resize(uint64_t size) override {
    const std::lock_guard lock(owner_.mutex_);
    QF_RETURN_IF_ERROR(SameLife());
    QF_RETURN_IF_ERROR(owner_.Takes(true));
    QF_RETURN_IF_ERROR(owner_.Change());
    return file_->Resize(size);
  }
  absl::Status Sync() override {
    const std::lock_guard lock(owner_.mutex_);
    QF_RETURN_IF_ERROR(SameLife());
    QF_RETURN_IF_ERROR(owner_.Change());
    if (owner_.disk_) owner_.disk_->Synced(inode_, *file_);
    return absl::OkStatus();
  }
  absl::StatusOr<uint64_t> Size() const override { return file_->Size(); }

 private:
  absl::Status SameLife() const { return life_ == owner_.life_ ? absl::OkStatus() : Dead(); }

  const std::unique_ptr<File> file_;
  const Inode inode_;
  FaultyFileSystem& owner_;
  const int64_t life_;
};

FaultyFileSystem::FaultyFileSystem(Faults faults, fs::path root)
    : left_(faults), disk_(root.empty() ? nullptr : std::make_unique<Disk>(std::move(root))) {}
FaultyFileSystem::~FaultyFileSystem() = default;

void FaultyFileSystem::SetWriteBudget(int64_t bytes) {
  const std::lock_guard lock(mutex_);
  left_.write_budget = bytes;
}

void FaultyFileSystem::SetChanges(int64_t changes) {
  const std::lock_guard lock(mutex_);
  left_.changes = changes;
}

void FaultyFileSystem::SetReadOnly(bool read_only) {
  const std::lock_guard lock(mutex_);
  left_.read_only = read_only;
}

bool FaultyFileSystem::dead() const {
  const std::lock_guard lock(mutex_);
  return left_.changes < 0;
}

void FaultyFileSystem::CutPower(Loss loss) {
  const std::lock_guard lock(mutex_);
  Must(disk_ != nullptr, "no root at all");
  disk_->CutPower(loss);
  left_ = {};
  ++life_;
}

int64_t FaultyFileSystem::changes_made() const {
  const std::lock_guard lock(mutex_);
  return made_;
}

absl::Status FaultyFileSystem::Change() {
  ++made_;
  return left_.changes < 0 || --left_.changes < 0 ? Dead() : absl::OkStatus();
}

absl::Status FaultyFileSystem::Takes(bool changes) const {
  return changes && left_.read_only ? PermissionDenied("Read-only file system (injected)")
                                    : absl::OkStatus();
}

absl::Status FaultyFileSystem::Spend(size_t bytes) {
  left_.write_budget -= static_cast<int64_t>(bytes);
  if (left_.write_budget >= 0) return absl::OkStatus();
  return ResourceExhausted("writing: No space left on device (injected)");
}

absl::StatusOr<std::unique_ptr<File>> FaultyFileSystem::Open(const fs::path& path, OpenMode mode) {
  const std::lock_guard lock(mutex_);
  const bool makes = mode == OpenMode::kCreate || mode == OpenMode::kPrivate;
  QF_RETURN_IF_ERROR(Takes(makes || mode == OpenMode::kUpdate));
  if (makes && !real_.Exists(path)) QF_RETURN_IF_ERROR(Change());
  if (left_.changes < 0) return Dead();
  QF_ASSIGN_OR_RETURN(auto file, real_.Open(path, mode));
  const Inode inode = disk_ ? disk_->Hold(fs::canonical(path)).value() : 0;
  return std::make_unique<FaultyFile>(std::move(file), inode, *this);
}

absl::Status FaultyFileSystem::Rename(const fs::path& from, const fs::path& to) {
  const std::lock_guard lock(mutex_);
  QF_RETURN_IF_ERROR(Takes(true));
  QF_RETURN_IF_ERROR(Change());
  return real_.Rename(from, to);
}

absl::Status FaultyFileSystem::Remove(const fs::path& path) {
  const std::lock_guard lock(mutex_);
  QF_RETURN_IF_ERROR(Takes(real_.Exists(path)));
  QF_RETURN_IF_ERROR(Change());
  return real_.Remove(path);
}

absl::Status FaultyFileSystem::RemoveTree(const fs::path& path) {
  const std::lock_guard lock(mutex_);
  QF_RETURN_IF_ERROR(Takes(real_.Exists(path)));
  QF_RETURN_IF_ERROR(Change());
  return real_.RemoveTree(path);
}

absl::Status FaultyFileSystem::CreateDirectories(const fs::path& path) {
  const std::lock_guard lock(mutex_);
  QF_RETURN_IF_ERROR(Takes(!real_.Exists(path)));
  QF_RETURN_IF_ERROR(Change());
  return real_.CreateDirectories(path);
}

absl::Status FaultyFileSystem::SyncDirectory(const fs::path& path) {
  const std::lock_guard lock(mutex_);
  QF_RETURN_IF_ERROR(Change());
  if (!real_.Exists(path)) return NotFound("syncing folder {}: it is not there", path.string());
  if (disk_) disk_->FolderSynced(path);
  return absl::OkStatus();
}

absl::Status FaultyFileSystem::AddName(const fs::path& file, const fs::path& name) {
  const std::lock_guard lock(mutex_);
  QF_RETURN_IF_ERROR(Takes(true));
  QF_RETURN_IF_ERROR(Change());
  return real_.AddName(file, name);
}

absl::Status FaultyFileSystem::MakeLink(const fs::path& target, const fs::path& link) {
  const std::lock_guard lock(mutex_);
  QF_RETURN_IF_ERROR(Takes(true));
  QF_RETURN_IF_ERROR(Change());
  return real_.MakeLink(target, link);
}

}  // namespace quantfleet::testing
