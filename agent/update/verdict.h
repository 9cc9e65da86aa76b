// What came of something that an update tried: it came off, or the reason why it did not, with a
// detail for people. Codes of what lies below (the disk, the daemon, the engine) become a reason
// once, where they are met; from there on it is passed on as it is.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "common/base/status.h"

namespace quantfleet::agent {

enum class Reason {
  // Those that the daemon and the operator see, by name (ModelStatus.reason).
  kRollbackRefused,
  kAssignmentRefused,  // signature, device, content
  kVerifyFailed,
  kDiskFull,
  kHealthFailed,
  kTooSlow,
  kOutOfMemory,
  kArtifactUnavailable,
  kStateDamaged,
  kOverBudget,      // waits, and nothing is lost
  kRuntimeRefused,  // this device does not allow it
  kDamaged,         // its bytes on this disk, while they are fetched again
  // Those that pass, and that nobody is told of by name.
  kInterrupted,    // something else comes first; says nothing about the artifact
  kLater,          // the network, the daemon or the disk may be better in a while
  kDeviceRefused,  // the daemon does not serve this device: that takes longer
};

// "too_slow"; empty for those that pass.
std::string_view NameOf(Reason reason);
inline bool Passes(Reason reason) { return NameOf(reason).empty(); }
// Of those that have a name.
std::optional<Reason> ReasonNamed(std::string_view name);

// It came off, or a reason.
class [[nodiscard]] Verdict {
 public:
  Verdict() = default;
  Verdict(Reason reason, std::string detail) : reason_(reason), detail_(std::move(detail)) {}

  bool ok() const { return !reason_; }
  bool Is(Reason reason) const { return reason_ == reason; }
  Reason reason() const { return *reason_; }  // of one that is not ok
  const std::string& detail() const { return detail_; }
  // The same with "context: " before its detail; what is ok stays so.
  Verdict Within(std::string_view context) const;

  bool operator==(const Verdict&) const = default;

 private:
  std::optional<Reason> reason_;
  std::string detail_;
};

template <typename... Args>
Verdict Setback(Reason reason, fmt::format_string<Args...> format, Args&&... args) {
  return {reason, fmt::format(format, std::forward<Args>(args)...)};
}

// A value, or the verdict that there is none.
template <typename T>
class [[nodiscard]] Tried {
 public:
  Tried(T value) : value_(std::move(value)) {}
  Tried(Verdict verdict) : verdict_(std::move(verdict)) {}  // not ok

  bool ok() const { return value_.has_value(); }
  const Verdict& verdict() const { return verdict_; }
  T& operator*() & { return *value_; }
  const T& operator*() const& { return *value_; }
  T&& operator*() && { return *std::move(value_); }
  const T* operator->() const { return &*value_; }

 private:
  std::optional<T> value_;
  Verdict verdict_;
};

// What this device's own files say.
Verdict OfDisk(const absl::Status& status);
// What the daemon says, or the way to it.
Verdict OfDaemon(const absl::Status& status);

}  // namespace quantfleet::agent

#define QF_RETURN_IF_SETBACK(expression) \
  QF_RETURN_IF_SETBACK_INNER(QF_CONCAT(qf_verdict_, __COUNTER__), expression)
#define QF_RETURN_IF_SETBACK_INNER(verdict, expression)                                     \
  do {                                                                                      \
    if (::quantfleet::agent::Verdict verdict = (expression); !verdict.ok()) return verdict; \
  } while (false)

// QF_TRY(auto x, F()): declares or assigns x, or returns F's verdict.
#define QF_TRY(left, expression) QF_TRY_INNER(QF_CONCAT(qf_tried_, __COUNTER__), left, expression)
#define QF_TRY_INNER(result, left, expression) \
  auto result = (expression);                  \
  if (!result.ok()) return result.verdict();   \
  left = *std::move(result)

// The same of an absl::StatusOr that the disk gives.
#define QF_TRY_DISK(left, expression) \
  QF_TRY_DISK_INNER(QF_CONCAT(qf_tried_, __COUNTER__), left, expression)
#define QF_TRY_DISK_INNER(result, left, expression)                      \
  auto result = (expression);                                            \
  if (!result.ok()) return ::quantfleet::agent::OfDisk(result.status()); \
  left = *std::move(result)
