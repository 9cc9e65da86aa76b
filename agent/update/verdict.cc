#include "agent/update/verdict.h"

#include <array>

namespace quantfleet::agent {
namespace {

constexpr std::array kNamed = {
    std::pair(Reason::kRollbackRefused, std::string_view("rollback_refused")),
    std::pair(Reason::kAssignmentRefused, std::string_view("assignment_refused")),
    std::pair(Reason::kVerifyFailed, std::string_view("verify_failed")),
    std::pair(Reason::kDiskFull, std::string_view("disk_full")),
    std::pair(Reason::kHealthFailed, std::string_view("health_failed")),
    std::pair(Reason::kTooSlow, std::string_view("too_slow")),
    std::pair(Reason::kOutOfMemory, std::string_view("out_of_memory")),
    std::pair(Reason::kArtifactUnavailable, std::string_view("artifact_unavailable")),
    std::pair(Reason::kStateDamaged, std::string_view("state_damaged")),
    std::pair(Reason::kOverBudget, std::string_view("over_budget")),
    std::pair(Reason::kRuntimeRefused, std::string_view("runtime_refused")),
    std::pair(Reason::kDamaged, std::string_view("damaged")),
};

// What does not pass by itself, whoever says it.
std::optional<Verdict> OfLasting(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return Verdict();
    case absl::StatusCode::kCancelled:
      return Verdict(Reason::kInterrupted, Message(status));
    case absl::StatusCode::kDataLoss:
      return Verdict(Reason::kVerifyFailed, Message(status));
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kOutOfRange:
    case absl::StatusCode::kUnimplemented:
      return Verdict(Reason::kArtifactUnavailable, Describe(status));
    default:
      return std::nullopt;
  }
}

}  // namespace

std::string_view NameOf(Reason reason) {
  for (const auto& [named, name] : kNamed)
    if (named == reason) return name;
  return "";
}

std::optional<Reason> ReasonNamed(std::string_view name) {
  for (const auto& [reason, named] : kNamed)
    if (named == name) return reason;
  return std::nullopt;
}

Verdict Verdict::Within(std::string_view context) const {
  return ok() ? Verdict() : Verdict(*reason_, fmt::format("{}: {}", context, detail_));
}

Verdict OfDisk(const absl::Status& status) {
  if (auto lasting = OfLasting(status)) return *std::move(lasting);
  return status.code() == absl::StatusCode::kResourceExhausted
             ? Verdict(Reason::kDiskFull, Message(status))
             : Verdict(Reason::kLater, Describe(status));
}

Verdict OfDaemon(const absl::Status& status) {
  if (auto lasting = OfLasting(status)) return *std::move(lasting);
  return status.code() == absl::StatusCode::kPermissionDenied
             ? Verdict(Reason::kDeviceRefused, Describe(status))
             : Verdict(Reason::kLater, Describe(status));
}

}  // namespace quantfleet::agent
