#include "common/base/open_files.h"

#include <sys/resource.h>

#include <algorithm>
#include <cerrno>

namespace quantfleet {

absl::StatusOr<uint64_t> RaiseOpenFiles(uint64_t wanted) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0)
    return ErrnoStatus(errno, "reading the limit on open files");
  if (limit.rlim_cur >= wanted) return limit.rlim_cur;
  limit.rlim_cur = std::min<rlim_t>(wanted, limit.rlim_max);
  if (::setrlimit(RLIMIT_NOFILE, &limit) != 0)
    return ErrnoStatus(errno, "raising the limit on open files");
  return limit.rlim_cur;
}

}  // namespace quantfleet
