#include "daemon/jobs/names.h"

#include <set>

#include "common/base/bytes.h"
#include "common/base/outside_text.h"

namespace quantfleet::daemon {
namespace {

constexpr size_t kMaxNameSize = 63, kMaxPathSize = 240, kMaxDepth = 8;

bool IsAlphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

absl::Status CheckComponent(std::string_view component, std::string_view path) {
  if (component.empty() || component.front() == '.')
    return InvalidArgument(
        "\"{}\" cannot be pushed: a path must be relative, and no part of it may be empty or begin "
        "with a dot",
        path);
  for (const char c : component)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f || c == '\\')
      return InvalidArgument("a pushed path must not contain control characters or backslashes");
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckModelName(std::string_view name) {
  bool fit = !name.empty() && name.size() <= kMaxNameSize && IsAlphanumeric(name.front());
  for (const char c : name) fit = fit && (IsAlphanumeric(c) || c == '.' || c == '_' || c == '-');
  if (fit) return absl::OkStatus();
  return InvalidArgument(
      "\"{}\" is not a valid model name: use 1 to {} letters, digits, \".\", \"_\" and \"-\", "
      "beginning with a letter or digit",
      Shown(name, 2 * kMaxNameSize), kMaxNameSize);
}

absl::Status CheckPushedPath(std::string_view path) {
  if (path.size() > kMaxPathSize)
    return InvalidArgument("a pushed path must have at most {} bytes", kMaxPathSize);
  size_t depth = 0;
  for (size_t at = 0; at <= path.size();) {
    const size_t end = std::min(path.find('/', at), path.size());
    QF_RETURN_IF_ERROR(CheckComponent(path.substr(at, end - at), path));
    if (++depth > kMaxDepth)
      return InvalidArgument("\"{}\" is more than {} folders deep", path, kMaxDepth);
    at = end + 1;
  }
  return absl::OkStatus();
}

absl::Status CheckPushedFiles(const std::vector<PushedFile>& files, size_t max_files,
                              uint64_t max_bytes) {
  if (files.empty()) return InvalidArgument("a push must have at least one file");
  if (files.size() > max_files)
    return InvalidArgument("a push must have at most {} files, not {}", max_files, files.size());
  std::set<std::string_view> paths;
  uint64_t total = 0;
  for (const PushedFile& file : files) {
    QF_RETURN_IF_ERROR(CheckPushedPath(file.path));
    if (!paths.insert(file.path).second)
      return InvalidArgument("\"{}\" is pushed twice", file.path);
    const auto sum = CheckedAdd(total, file.size);
    if (!sum || *sum > max_bytes)
      return InvalidArgument("a push must have at most {}; the daemon's settings may allow more",
                             HumanBytes(max_bytes));
    total = *sum;
  }
  for (const std::string_view path : paths)
    for (size_t at = path.find('/'); at != std::string_view::npos; at = path.find('/', at + 1))
      if (paths.contains(path.substr(0, at)))
        return InvalidArgument("\"{}\" is pushed as a file and as a folder", path.substr(0, at));
  return absl::OkStatus();
}

}  // namespace quantfleet::daemon
