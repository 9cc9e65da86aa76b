#include "common/base/file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <optional>

#include "common/base/access.h"
#include "common/base/fd.h"

namespace quantfleet {
namespace {

class RealFile final : public File {
 public:
  // `size`: the only one it may have; absent, it may change.
  RealFile(Fd fd, fs::path path, std::optional<uint64_t> size)
      : fd_(std::move(fd)), path_(std::move(path)), size_(size) {}

  absl::Status ReadAt(uint64_t offset, MutableBytes out) const override {
    const absl::Status read = ReadNow(offset, out);
    if (!size_) return read;
    QF_ASSIGN_OR_RETURN(const uint64_t now, SizeNow());
    if (now != *size_)
      return DataLoss(
          "{} had {} bytes when it was opened and has {} now: something is writing it; try again "
          "once it is complete",
          path_.string(), *size_, now);
    return read;
  }

  absl::Status WriteAt(uint64_t offset, ByteSpan bytes) override {
    while (!bytes.empty()) {
      const ssize_t n = ::pwrite(fd_.get(), bytes.data(), std::min(bytes.size(), kMaxPerCall),
                                 static_cast<off_t>(offset));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return ErrnoStatus(errno, fmt::format("writing {}", path_.string()));
      offset += static_cast<uint64_t>(n);
      bytes = bytes.subspan(static_cast<size_t>(n));
    }
    return absl::OkStatus();
  }

  absl::Status Resize(uint64_t size) override {
    if (::ftruncate(fd_.get(), static_cast<off_t>(size)) != 0)
      return ErrnoStatus(errno, fmt::format("resizing {}", path_.string()));
    return absl::OkStatus();
  }

  absl::Status Sync() override {
    if (::fdatasync(fd_.get()) != 0)
      return ErrnoStatus(errno, fmt::format("syncing {}", path_.string()));
    return absl::OkStatus();
  }

  absl::StatusOr<uint64_t> Size() const override {
    return size_ ? absl::StatusOr<uint64_t>(*size_) : SizeNow();
  }

  void DropCache(uint64_t offset, uint64_t size) const override {
    ::posix_fadvise(fd_.get(), static_cast<off_t>(offset), static_cast<off_t>(size),
                    POSIX_FADV_DONTNEED);
  }

 private:
  static constexpr size_t kMaxPerCall = size_t{1} << 30;

  absl::Status ReadNow(uint64_t offset, MutableBytes out) const {
    if (offset > static_cast<uint64_t>(std::numeric_limits<off_t>::max())) return Cut(offset);
    while (!out.empty()) {
      const ssize_t n = ::pread(fd_.get(), out.data(), std::min(out.size(), kMaxPerCall),
                                static_cast<off_t>(offset));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return ErrnoStatus(errno, fmt::format("reading {}", path_.string()));
      if (n == 0) return Cut(offset);
      offset += static_cast<uint64_t>(n);
      out = out.subspan(static_cast<size_t>(n));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<uint64_t> SizeNow() const {
    struct stat st;
    if (::fstat(fd_.get(), &st) != 0) return ErrnoStatus(errno, path_.string());
    return static_cast<uint64_t>(st.st_size);
  }

  absl::Status Cut(uint64_t offset) const {
    return DataLoss("{} ends at byte {}, before the end of the data to read: is it truncated?",
                    path_.string(), offset);
  }
  const Fd fd_;
  const fs::path path_;
  const std::optional<uint64_t> size_;
};

int Flags(OpenMode mode) {
  switch (mode) {
    case OpenMode::kRead:
    case OpenMode::kOutside:
    case OpenMode::kSecret:
      return O_RDONLY;
    case OpenMode::kUpdate:
      return O_RDWR;
    case OpenMode::kCreate:
      return O_RDWR | O_CREAT;
    case OpenMode::kPrivate:
      return O_RDWR | O_CREAT | O_NOFOLLOW;
  }
  return O_RDONLY;
}

absl::Status CheckRegular(const struct stat& st, const fs::path& path) {
  if (S_ISREG(st.st_mode)) return absl::OkStatus();
  if (S_ISDIR(st.st_mode)) return InvalidArgument("{} is a folder, not a file", path.string());
  return InvalidArgument("{} is a {}, not a file: copy what it delivers into a file and name that",
                         path.string(),
                         S_ISFIFO(st.st_mode)   ? "pipe"
                         : S_ISSOCK(st.st_mode) ? "socket"
                                                : "device");
}

// The one way to a file's descriptor: a regular file's, without waiting for anything.
absl::StatusOr<Fd> OpenRegular(const fs::path& path, int flags, mode_t mode, struct stat& st) {
  // Looked at before, because opening a device may already do something, and afterwards, because
  // there may be something else by then.
  if (::stat(path.c_str(), &st) == 0) QF_RETURN_IF_ERROR(CheckRegular(st, path));
  Fd fd(::open(path.c_str(), flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, mode));
  if (fd.get() < 0 && errno == ELOOP && (flags & O_NOFOLLOW) != 0)
    return FailedPrecondition("{} is a link: name the file itself, or remove the link",
                              path.string());
  if (fd.get() < 0) return ErrnoStatus(errno, fmt::format("opening {}", path.string()));
  if (::fstat(fd.get(), &st) != 0) return ErrnoStatus(errno, path.string());
  QF_RETURN_IF_ERROR(CheckRegular(st, path));
  return fd;
}

class Descriptor final : public FileLock {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() override { ::close(fd_); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

 private:
  const int fd_;
};

class RealFs final : public FileSystem {
 public:
  absl::StatusOr<std::unique_ptr<File>> Open(const fs::path& path, OpenMode mode) override {
    int flags = Flags(mode);
    if (mode == OpenMode::kSecret) {
      QF_ASSIGN_OR_RETURN(const bool link, IsOwnLink(path));
      if (!link) flags |= O_NOFOLLOW;  // nor may it become one now
    }
    struct stat st;
    QF_ASSIGN_OR_RETURN(Fd fd,
                        OpenRegular(path, flags, mode == OpenMode::kPrivate ? 0600 : 0644, st));
    if (mode == OpenMode::kSecret || mode == OpenMode::kPrivate)
      QF_RETURN_IF_ERROR(CheckPrivate(fd.get(), path));
    const bool fixed = mode == OpenMode::kOutside || mode == OpenMode::kSecret;
    return std::make_unique<RealFile>(
        std::move(fd), path,
        fixed ? std::optional(static_cast<uint64_t>(st.st_size)) : std::nullopt);
  }

  absl::Status Rename(const fs::path& from, const fs::path& to) override {
    if (::rename(from.c_str(), to.c_str()) != 0)
      return ErrnoStatus(errno, fmt::format("renaming {} to {}", from.string(), to.string()));
    return absl::OkStatus();
  }

  absl::Status Remove(const fs::path& path) override {
    if (::unlink(path.c_str()) != 0 && errno != ENOENT)
      return ErrnoStatus(errno, fmt::format("removing {}", path.string()));
    return absl::OkStatus();
  }

  absl::Status RemoveTree(const fs::path& path) override {
    std::error_code error;
    fs::remove_all(path, error);
    return error ? ErrnoStatus(error.value(), fmt::format("removing {}", path.string()))
                 : absl::OkStatus();
  }

  absl::Status CreateDirectories(const fs::path& path) override {
    std::error_code error;
    fs::create_directories(path, error);
    return error ? ErrnoStatus(error.value(), fmt::format("creating folder {}", path.string()))
                 : absl::OkStatus();
  }

  absl::Status SyncDirectory(const fs::path& path) override {
    const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return ErrnoStatus(errno, fmt::format("opening folder {}", path.string()));
    const int result = ::fsync(fd), error = errno;
    ::close(fd);
    return result == 0 ? absl::OkStatus()
                       : ErrnoStatus(error, fmt::format("syncing folder {}", path.string()));
  }

  bool Exists(const fs::path& path) override {
    std::error_code error;
    return fs::exists(path, error);
  }

  absl::StatusOr<std::vector<std::string>> List(const fs::path& path) override {
    std::error_code error;
    std::vector<std::string> names;
    for (auto it = fs::directory_iterator(path, error); !error && it != fs::directory_iterator();
         it.increment(error))
      names.push_back(it->path().filename().string());
    if (error) return ErrnoStatus(error.value(), fmt::format("listing {}", path.string()));
    std::ranges::sort(names);
    return names;
  }

  absl::StatusOr<uint64_t> FreeSpace(const fs::path& path) override {
    struct statvfs st;
    if (::statvfs(path.c_str(), &st) != 0) return ErrnoStatus(errno, path.string());
    return static_cast<uint64_t>(st.f_bavail) * st.f_frsize;
  }

  absl::StatusOr<std::unique_ptr<FileLock>> Lock(const fs::path& path) override {
    int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
      fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0600);
    if (fd < 0 && errno == EROFS)  // locking it changes nothing
      fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return ErrnoStatus(errno, fmt::format("opening {}", path.string()));
    auto lock = std::make_unique<Descriptor>(fd);
    if (::flock(fd, LOCK_EX | LOCK_NB) == 0) return std::unique_ptr<FileLock>(std::move(lock));
    if (errno == EWOULDBLOCK) return std::unique_ptr<FileLock>();
    if (errno == ENOLCK || errno == EOPNOTSUPP || errno == EINVAL)
      return Unimplemented("{} stands on a file system without locks", path.string());
    return ErrnoStatus(errno, fmt::format("locking {}", path.string()));
  }

  bool IsLocked(const fs::path& path) override {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return false;
    const Descriptor open(fd);
    return ::flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  }

  absl::Status MakeLink(const fs::path& target, const fs::path& link) override {
    if (::symlink(target.c_str(), link.c_str()) != 0)
      return ErrnoStatus(errno, fmt::format("linking {}", link.string()));
    return absl::OkStatus();
  }

  absl::Status AddName(const fs::path& file, const fs::path& name) override {
    if (::link(file.c_str(), name.c_str()) != 0)
      return ErrnoStatus(errno, fmt::format("naming {} {}", file.string(), name.string()));
    return absl::OkStatus();
  }

  absl::StatusOr<fs::path> ReadLink(const fs::path& link) override {
    std::error_code error;
    fs::path target = fs::read_symlink(link, error);
    if (error) return ErrnoStatus(error.value(), fmt::format("reading link {}", link.string()));
    return target;
  }

  absl::StatusOr<std::string> ReadStream(const fs::path& path, uint64_t limit) override {
    struct stat st;
    QF_ASSIGN_OR_RETURN(const Fd fd, OpenRegular(path, O_RDONLY, 0, st));
    std::string text(limit, '\0');
    size_t size = 0;
    while (size < text.size()) {
      const ssize_t n = ::read(fd.get(), text.data() + size, text.size() - size);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return ErrnoStatus(errno, fmt::format("reading {}", path.string()));
      if (n == 0) break;
      size += static_cast<size_t>(n);
    }
    text.resize(size);
    return text;
  }
};

}  // namespace

namespace {

// The folder that `path` stands in.
fs::path FolderOf(const fs::path& path) {
  const fs::path folder =
      path.has_filename() ? path.parent_path() : path.parent_path().parent_path();
  return folder.empty() ? fs::path(path.is_absolute() ? "/" : ".") : folder;
}

}  // namespace

absl::Status FileSystem::AddName(const fs::path& file, const fs::path&) {
  return Unimplemented("{} stands on a file system without hard links", file.string());
}

absl::StatusOr<int64_t> FileSystem::ModifiedAt(const fs::path& path) {
  struct stat st;
  if (::stat(path.c_str(), &st) != 0) return ErrnoStatus(errno, path.string());
  return static_cast<int64_t>(st.st_mtim.tv_sec) * 1'000'000'000 + st.st_mtim.tv_nsec;
}

absl::StatusOr<std::string> FileSystem::ReadAll(const fs::path& path, uint64_t limit,
                                                OpenMode mode) {
  QF_ASSIGN_OR_RETURN(auto file, Open(path, mode));
  QF_ASSIGN_OR_RETURN(const uint64_t size, file->Size());
  if (size > limit)
    return ResourceExhausted("{} has {} bytes; the maximum is {}", path.string(), size, limit);
  std::string text(size, '\0');
  QF_RETURN_IF_ERROR(file->ReadAt(0, std::as_writable_bytes(std::span(text))));
  return text;
}

absl::Status FileSystem::WriteAtomically(const fs::path& path, ByteSpan content, OpenMode mode) {
  fs::path temporary = path;
  temporary += ".tmp";
  QF_RETURN_IF_ERROR(Remove(temporary));
  const absl::Status written = [&]() -> absl::Status {
    QF_ASSIGN_OR_RETURN(auto file, Open(temporary, mode));
    QF_RETURN_IF_ERROR(file->WriteAt(0, content));
    return file->Sync();
  }();
  if (!written.ok()) {
    Remove(temporary).IgnoreError();
    return written;
  }
  QF_RETURN_IF_ERROR(Rename(temporary, path));
  return SyncDirectory(FolderOf(path));
}

absl::Status FileSystem::MakeFolder(const fs::path& path) {
  std::vector<fs::path> changed;  // folders that get another in them
  for (fs::path missing = path; !Exists(missing) && FolderOf(missing) != missing;)
    changed.push_back(missing = FolderOf(missing));
  QF_RETURN_IF_ERROR(CreateDirectories(path));
  for (const fs::path& folder : changed)
    // One that may not be read cannot be synced.
    if (const absl::Status synced = SyncDirectory(folder); !absl::IsPermissionDenied(synced))
      QF_RETURN_IF_ERROR(synced);
  // Who made it before may have been killed right then.
  if (changed.empty()) SyncDirectory(FolderOf(path)).IgnoreError();
  return absl::OkStatus();
}

FileSystem& RealFileSystem() {
  static RealFs instance;
  return instance;
}

absl::StatusOr<MappedFile> MappedFile::Map(const fs::path& path) {
  struct stat st;
  QF_ASSIGN_OR_RETURN(const Fd fd, OpenRegular(path, O_RDONLY, 0, st));
  MappedFile mapped;
  if (st.st_size == 0) return mapped;
  void* at = ::mmap(nullptr, static_cast<size_t>(st.st_size), PROT_READ, MAP_SHARED, fd.get(), 0);
  if (at == MAP_FAILED) return ErrnoStatus(errno, fmt::format("mapping {}", path.string()));
  mapped.data_ = static_cast<const std::byte*>(at);
  mapped.size_ = static_cast<size_t>(st.st_size);
  return mapped;
}

MappedFile::~MappedFile() {
  if (data_) ::munmap(const_cast<std::byte*>(data_), size_);
}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

}  // namespace quantfleet
