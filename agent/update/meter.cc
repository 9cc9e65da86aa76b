#include "agent/update/meter.h"

#include <algorithm>

#include "common/base/bytes.h"

namespace quantfleet::agent {
namespace {

constexpr uint64_t kLeastPiece = 4 << 10, kMaxPiece = 256 << 10;
// Of a piece at the rate: shorter than what keeps a connection open.
constexpr uint64_t kPieceSeconds = 4;

}  // namespace

Verdict Meter::MayPull(uint64_t bytes) const {
  if (!HasBudget() || policy_.over_budget()) return {};
  const uint64_t left = budget_.Left(policy_);
  if (bytes <= left) return {};
  return Setback(
      Reason::kOverBudget,
      "{} must be downloaded, but only {} is left of the budget of {} in {} days: run `quantfleet "
      "rollout allow-download`, or wait",
      HumanBytes(bytes), HumanBytes(left), HumanBytes(policy_.budget_bytes()),
      policy_.budget_days());
}

uint64_t Meter::Piece(uint64_t wanted) const {
  const uint64_t rate = policy_.max_bytes_per_second();
  if (!HasBudget() && rate == 0) return wanted;
  const uint64_t most = rate == 0 || rate > kMaxPiece
                            ? kMaxPiece
                            : std::clamp(rate * kPieceSeconds, kLeastPiece, kMaxPiece);
  return std::min(wanted, most);
}

Verdict Meter::Pay(uint64_t bytes) {
  if (HasBudget()) {
    QF_RETURN_IF_SETBACK(MayPull(bytes));
    QF_RETURN_IF_SETBACK(OfDisk(budget_.Spend(bytes)));
  }
  if (policy_.max_bytes_per_second() == 0) return {};
  const Duration now = clock_.Monotonic();
  if (due_ > now && !sleeper_.Sleep(due_ - now, stop_))
    return Setback(Reason::kInterrupted, "the download was stopped");
  due_ = std::max(due_, now) +
         Duration(static_cast<int64_t>(bytes * 1000 / policy_.max_bytes_per_second()));
  return {};
}

Verdict Meter::TakeBack(uint64_t bytes) {
  return bytes == 0 || !HasBudget() ? Verdict() : OfDisk(budget_.TakeBack(bytes));
}

}  // namespace quantfleet::agent
