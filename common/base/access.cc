#include "common/base/access.h"

#include <sys/prctl.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdlib>

namespace quantfleet {
namespace {

constexpr mode_t kOthersRead = S_IRGRP | S_IROTH, kOthersWrite = S_IWGRP | S_IWOTH,
                 kOthers = S_IRWXG | S_IRWXO;

// As a shell takes it: commands in messages are there to be copied.
std::string Quoted(const fs::path& path) {
  constexpr std::string_view plain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._+:@%=,-";
  const std::string text = path.string();
  if (!text.empty() && text.front() != '-' && text.find_first_not_of(plain) == std::string::npos)
    return text;
  std::string quoted = text.starts_with("-") ? "./'" : "'";
  for (const char c : text) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

absl::Status CheckOwner(const struct stat& info, const fs::path& path, uid_t user) {
  if (user == 0 || info.st_uid == 0 || info.st_uid == user) return absl::OkStatus();
  return FailedPrecondition(
      "{0} belongs to user {1}, who can read and change it, but this process runs as user {2}: run "
      "`chown {2} {3}` as root",
      path.string(), info.st_uid, user, Quoted(path));
}

// `forbidden`: bits of the mode.
absl::Status Check(const struct stat& info, const fs::path& path, uid_t user, mode_t forbidden,
                   std::string_view mend) {
  if (!S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode))
    return absl::OkStatus();  // pipes and terminals keep nothing
  QF_RETURN_IF_ERROR(CheckOwner(info, path, user));
  const mode_t found = info.st_mode & forbidden;
  if (found == 0) return absl::OkStatus();
  const bool read = (found & kOthersRead) != 0, written = (found & kOthersWrite) != 0;
  return FailedPrecondition("{} has mode {:04o}: others may {} it. Run `chmod {} {}`",
                            path.string(), info.st_mode & 07777,
                            read && written ? "read and change"
                            : written       ? "change"
                            : read          ? "read"
                                            : "run",
                            mend, Quoted(path));
}

absl::Status Check(const fs::path& path, uid_t user, mode_t forbidden, std::string_view mend) {
  struct stat info{};
  if (::stat(path.c_str(), &info) == 0) return Check(info, path, user, forbidden, mend);
  return errno == ENOENT || errno == ENOTDIR ? absl::OkStatus() : ErrnoStatus(errno, path.string());
}

}  // namespace

absl::Status CheckPrivate(const fs::path& file, uid_t user) {
  return Check(file, user, kOthers, "600");
}

absl::Status CheckPrivate(int fd, const fs::path& file, uid_t user) {
  struct stat info{};
  if (::fstat(fd, &info) != 0) return ErrnoStatus(errno, file.string());
  return Check(info, file, user, kOthers, "600");
}

absl::StatusOr<bool> IsOwnLink(const fs::path& path, uid_t user) {
  struct stat info{};
  if (::lstat(path.c_str(), &info) != 0 || !S_ISLNK(info.st_mode)) return false;
  if (info.st_uid == user || info.st_uid == 0) return true;
  return FailedPrecondition(
      "{} is a link that user {} made, but this process runs as user {}: name the file itself",
      path.string(), info.st_uid, user);
}

absl::Status CheckUnshared(const fs::path& path, uid_t user) {
  return Check(path, user, kOthersWrite, "go-w");
}

absl::Status CheckIsOwn(const fs::path& folder, uid_t user) {
  struct stat info{};
  if (user != 0 || ::stat(folder.c_str(), &info) != 0 || info.st_uid == 0) return absl::OkStatus();
  return FailedPrecondition(
      "{} belongs to user {}, who could not read what root writes there: run this as that user "
      "(`sudo -u '#{}' ...`)",
      folder.string(), info.st_uid, info.st_uid);
}

absl::StatusOr<std::string> ReadPrivate(FileSystem& files, const fs::path& path, uint64_t limit) {
  return files.ReadAll(path, limit, OpenMode::kSecret);
}

void KeepOthersFromWriting() { ::umask(::umask(0) | kOthersWrite); }

void KeepMemoryPrivate() {
#ifndef QUANTFLEET_SANITIZED
  if (std::getenv("QUANTFLEET_DEBUG") == nullptr) ::prctl(PR_SET_DUMPABLE, 0);
#endif
}

}  // namespace quantfleet
