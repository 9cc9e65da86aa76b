// Errors are values. A message names the place (file, tensor, field) and the remedy; the code is
// the one that a gRPC caller sees. Thread-safe: everything here is a pure function.
#pragma once

#include <fmt/core.h>

#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace quantfleet {

// Debian builds absl with its own string_view; these adapters are the one place that knows it.
inline absl::string_view ToAbsl(std::string_view s) { return {s.data(), s.size()}; }
inline std::string_view ToStd(absl::string_view s) { return {s.data(), s.size()}; }

// Messages name files, tensors, keys and what others said: whatever they hold, a status's message
// is text on one line that may be stored, sent and printed (outside_text.h), of at most kMaxMessage
// bytes and the note that it was cut.
inline constexpr size_t kMaxMessage = 4096;
absl::Status MakeStatus(absl::StatusCode code, std::string_view message);
inline std::string Message(const absl::Status& status) {
  return std::string(ToStd(status.message()));
}

// "INVALID_ARGUMENT: message", as logs and CLI show it.
std::string Describe(const absl::Status& status);

// The same status with "context: " before its message; OK stays OK.
absl::Status Annotate(const absl::Status& status, std::string_view context);

// The status for errno, with "context: strerror"; ENOSPC and EDQUOT become RESOURCE_EXHAUSTED.
absl::Status ErrnoStatus(int error, std::string_view context);

#define QF_DEFINE_ERROR(Name, Code)                                                              \
  template <typename... Args>                                                                    \
  [[nodiscard]] absl::Status Name(fmt::format_string<Args...> format, Args&&... args) {          \
    return MakeStatus(absl::StatusCode::Code, fmt::format(format, std::forward<Args>(args)...)); \
  }
QF_DEFINE_ERROR(InvalidArgument, kInvalidArgument)
QF_DEFINE_ERROR(NotFound, kNotFound)
QF_DEFINE_ERROR(AlreadyExists, kAlreadyExists)
QF_DEFINE_ERROR(FailedPrecondition, kFailedPrecondition)
QF_DEFINE_ERROR(PermissionDenied, kPermissionDenied)
QF_DEFINE_ERROR(Unauthenticated, kUnauthenticated)
QF_DEFINE_ERROR(ResourceExhausted, kResourceExhausted)
QF_DEFINE_ERROR(DataLoss, kDataLoss)
QF_DEFINE_ERROR(Unavailable, kUnavailable)
QF_DEFINE_ERROR(Unimplemented, kUnimplemented)
QF_DEFINE_ERROR(OutOfRange, kOutOfRange)
QF_DEFINE_ERROR(Aborted, kAborted)
QF_DEFINE_ERROR(Cancelled, kCancelled)
QF_DEFINE_ERROR(DeadlineExceeded, kDeadlineExceeded)
QF_DEFINE_ERROR(Internal, kInternal)
#undef QF_DEFINE_ERROR

}  // namespace quantfleet

#define QF_CONCAT_INNER(a, b) a##b
#define QF_CONCAT(a, b) QF_CONCAT_INNER(a, b)

// __COUNTER__: the expression may be a lambda that uses these macros itself.
#define QF_RETURN_IF_ERROR(expression) \
  QF_RETURN_IF_ERROR_INNER(QF_CONCAT(qf_status_, __COUNTER__), expression)
#define QF_RETURN_IF_ERROR_INNER(status, expression)                     \
  do {                                                                   \
    if (absl::Status status = (expression); !status.ok()) return status; \
  } while (false)

// QF_ASSIGN_OR_RETURN(auto x, F()): declares or assigns x, or returns F's error.
#define QF_ASSIGN_OR_RETURN(left, expression) \
  QF_ASSIGN_OR_RETURN_INNER(QF_CONCAT(qf_result_, __COUNTER__), left, expression)
#define QF_ASSIGN_OR_RETURN_INNER(result, left, expression) \
  auto result = (expression);                               \
  if (!result.ok()) return result.status();                 \
  left = std::move(*result)
