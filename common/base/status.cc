#include "common/base/status.h"

#include <cerrno>
#include <cstring>
#include <system_error>

#include "common/base/outside_text.h"

namespace quantfleet {

absl::Status MakeStatus(absl::StatusCode code, std::string_view message) {
  return absl::Status(code, ToAbsl(Shown(message, kMaxMessage)));
}

std::string Describe(const absl::Status& status) {
  return fmt::format("{}: {}", absl::StatusCodeToString(status.code()), Message(status));
}

absl::Status Annotate(const absl::Status& status, std::string_view context) {
  if (status.ok()) return status;
  absl::Status annotated =
      MakeStatus(status.code(), fmt::format("{}: {}", context, Message(status)));
  status.ForEachPayload(
      [&](absl::string_view url, const absl::Cord& value) { annotated.SetPayload(url, value); });
  return annotated;
}

absl::Status ErrnoStatus(int error, std::string_view context) {
  absl::StatusCode code = absl::StatusCode::kUnavailable;
  switch (error) {
    case ENOENT:
    case ENOTDIR:
      code = absl::StatusCode::kNotFound;
      break;
    case EACCES:
    case EPERM:
    case EROFS:
      code = absl::StatusCode::kPermissionDenied;
      break;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
      code = absl::StatusCode::kResourceExhausted;
      break;
    case EEXIST:
      code = absl::StatusCode::kAlreadyExists;
      break;
    case EINVAL:
    case EISDIR:
    case ENAMETOOLONG:
      code = absl::StatusCode::kInvalidArgument;
      break;
    default:
      break;
  }
  return MakeStatus(code, fmt::format("{}: {}", context, std::generic_category().message(error)));
}

}  // namespace quantfleet
