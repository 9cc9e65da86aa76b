#include "agent/socket_folder.h"

#include <cerrno>
#include <cstdlib>
#include <utility>

namespace quantfleet::agent {
namespace {

absl::Status MakeOwn(FileSystem& files, const fs::path& folder) {
  QF_RETURN_IF_ERROR(files.CreateDirectories(folder));
  std::error_code error;
  if (fs::status(folder, error).permissions() != fs::perms::owner_all)
    fs::permissions(folder, fs::perms::owner_all, error);
  if (error) return ErrnoStatus(error.value(), folder.string());
  // Whether it takes anything is only known by trying.
  const fs::path probe = folder / "probe";
  QF_RETURN_IF_ERROR(files.Open(probe, OpenMode::kPrivate).status());
  return files.Remove(probe);
}

}  // namespace

absl::StatusOr<SocketFolder> SocketFolder::Make(FileSystem& files, const fs::path& state) {
  if (MakeOwn(files, state / "run").ok()) return SocketFolder(state / "run", /*temporary=*/false);
  std::string name = (fs::temp_directory_path() / "quantfleet-agent-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) return ErrnoStatus(errno, "making " + name);
  return SocketFolder(name, /*temporary=*/true);
}

SocketFolder::SocketFolder(SocketFolder&& other) noexcept
    : path_(std::move(other.path_)), temporary_(std::exchange(other.temporary_, false)) {}

SocketFolder::~SocketFolder() {
  std::error_code error;
  if (temporary_) fs::remove_all(path_, error);
}

}  // namespace quantfleet::agent
