// Files as an interface, so that tests run on a disk that fills up or forgets, and durable steps
// look the same everywhere. Paths are std::filesystem::path; errors name the path.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/status.h"

namespace quantfleet {

namespace fs = std::filesystem;

// An open file. ReadAt and WriteAt at different places are thread-safe.
class File {
 public:
  virtual ~File() = default;
  // Fills all of `out`, or DATA_LOSS when the file ends before it.
  virtual absl::Status ReadAt(uint64_t offset, MutableBytes out) const = 0;
  virtual absl::Status WriteAt(uint64_t offset, ByteSpan bytes) = 0;
  virtual absl::Status Resize(uint64_t size) = 0;
  // Content and size are on the disk when this returns OK.
  virtual absl::Status Sync() = 0;
  virtual absl::StatusOr<uint64_t> Size() const = 0;
  // The pages of this range are not needed again: their cache is free for others.
  virtual void DropCache(uint64_t /*offset*/, uint64_t /*size*/) const {}
};

// Regular files only, and none is waited for: INVALID_ARGUMENT names a pipe, a device, a socket or
// a folder. Links are followed, unless it says otherwise.
enum class OpenMode {
  kRead,  // must exist
  // As kRead, for what somebody else wrote and may still be writing: its size is fixed when it is
  // opened, and reading is DATA_LOSS once it has another.
  kOutside,
  // As kOutside, for keys and tokens: FAILED_PRECONDITION when others may read or change the file
  // (base/access.h), or when it is a link that another user made.
  kSecret,
  kUpdate,   // must exist, read and write
  kCreate,   // made when absent, content kept, read and write, mode 0644
  kPrivate,  // as kCreate with mode 0600; refuses a link, and a file that others may read
};

// A lock on a file or folder, held until it is destroyed; the kernel releases it when the process
// dies, however that happens.
class FileLock {
 public:
  virtual ~FileLock() = default;
};

// Thread-safe.
class FileSystem {
 public:
  virtual ~FileSystem() = default;
  virtual absl::StatusOr<std::unique_ptr<File>> Open(const fs::path& path, OpenMode mode) = 0;
  virtual absl::Status Rename(const fs::path& from,
                              const fs::path& to) = 0;        // atomic, replaces a file
  virtual absl::Status Remove(const fs::path& path) = 0;      // absent is OK
  virtual absl::Status RemoveTree(const fs::path& path) = 0;  // absent is OK
  virtual absl::Status CreateDirectories(const fs::path& path) = 0;
  virtual absl::Status SyncDirectory(const fs::path& path) = 0;
  virtual bool Exists(const fs::path& path) = 0;
  // The sorted names of what the folder contains.
  virtual absl::StatusOr<std::vector<std::string>> List(const fs::path& path) = 0;
  virtual absl::StatusOr<uint64_t> FreeSpace(const fs::path& path) = 0;
  // Only one holder at a time has the lock of a path, in this process or another. A folder is
  // locked itself; an absent file is created with mode 0600. Null: somebody else has the lock.
  // UNIMPLEMENTED: the file system has no locks.
  virtual absl::StatusOr<std::unique_ptr<FileLock>> Lock(const fs::path& path) = 0;
  virtual bool IsLocked(const fs::path& path) = 0;  // absent is unlocked
  // A symbolic link to `target`, exactly as given; ALREADY_EXISTS when there is something at the
  // path.
  virtual absl::Status MakeLink(const fs::path& target, const fs::path& link) = 0;
  virtual absl::StatusOr<fs::path> ReadLink(const fs::path& link) = 0;
  // A second name for the same file, which costs no space. ALREADY_EXISTS when there is something
  // at `name`; UNIMPLEMENTED and others where the file system cannot.
  virtual absl::Status AddName(const fs::path& file, const fs::path& name);
  // Reads a regular file until its end: those of /proc, whose size says nothing. At most `limit`
  // bytes; what follows is left unread.
  virtual absl::StatusOr<std::string> ReadStream(const fs::path& path, uint64_t limit) = 0;
  // When the content last changed, in nanoseconds since 1970. Looks at the machine's own disk
  // unless overridden.
  virtual absl::StatusOr<int64_t> ModifiedAt(const fs::path& path);

  // Convenience over the calls above.
  // The whole file; RESOURCE_EXHAUSTED when it is larger than `limit`.
  absl::StatusOr<std::string> ReadAll(const fs::path& path, uint64_t limit = 64 << 20,
                                      OpenMode mode = OpenMode::kOutside);
  // The folder exists, durably, and so do those above it that had to be created.
  absl::Status MakeFolder(const fs::path& path);
  // The old content or the new, never a mixture, and durable on return (temporary file, fsync,
  // rename, fsync).
  absl::Status WriteAtomically(const fs::path& path, ByteSpan content,
                               OpenMode mode = OpenMode::kCreate);
};

FileSystem& RealFileSystem();

// A read-only memory map of a whole file. The file must not be truncated while it is mapped.
class MappedFile {
 public:
  static absl::StatusOr<MappedFile> Map(const fs::path& path);
  MappedFile() = default;
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept { *this = std::move(other); }
  MappedFile& operator=(MappedFile&& other) noexcept;
  ByteSpan bytes() const { return {data_, size_}; }

 private:
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace quantfleet
