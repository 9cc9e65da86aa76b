#include "agent/update/meter.h"

#include <algorithm>

#include "common/base/bytes.h"

namespace quantfleet::agent {
namespace {

constexpr uint64_t kLeastPiece = 4 << 10, kMaxPiece = 256 << 10;
// Of a piece at the rate: shorter than what keeps a connection open.
constexpr uint64_t kPieceSeconds = 4;

}  // namespace

std::string Meter::WhyNot(uint64_t bytes) const {
  if (!HasBudget()) return "";
  const uint64_t left = budget_.Left(policy_);
  if (bytes <= left) return "";
  return fmt::format(
      "{} must be downloaded, but {} are left of the budget of {} in {} days: run `quantfleet "
      "rollout allow-download`, or wait",
      HumanBytes(bytes), HumanBytes(left), HumanBytes(policy_.budget_bytes()),
      policy_.budget_days());
}

absl::Status Meter::Pay(uint64_t bytes) {
  if (policy_.budget_bytes() > 0) {
    if (const std::string why_not = WhyNot(bytes); !why_not.empty()) {
      refused_ = true;
      return Cancelled("{}", why_not);
    }
    QF_RETURN_IF_ERROR(budget_.Spend(bytes));
  }
  if (policy_.max_bytes_per_second() == 0) return absl::OkStatus();
  const Duration now = clock_.Monotonic();
  if (due_ > now && !sleeper_.Sleep(due_ - now, stop_))
    return Cancelled("the download was stopped");
  due_ = std::max(due_, now) +
         Duration(static_cast<int64_t>(bytes * 1000 / policy_.max_bytes_per_second()));
  return absl::OkStatus();
}

Pull Meter::pull() {
  if (policy_.budget_bytes() == 0 && policy_.max_bytes_per_second() == 0) return {};
  const uint64_t rate = policy_.max_bytes_per_second();
  return {.most = rate == 0          ? kMaxPiece
                  : rate > kMaxPiece ? kMaxPiece
                                     : std::clamp(rate * kPieceSeconds, kLeastPiece, kMaxPiece),
          .pay = [this](uint64_t bytes) { return Pay(bytes); }};
}

}  // namespace quantfleet::agent
