#include "daemon/fleet/refusals.h"

#include "common/base/retry_after.h"

namespace quantfleet::daemon {

absl::Status RefusalBook::Check(std::string_view address) {
  const Duration now = clock_.Monotonic();
  std::lock_guard lock(mutex_);
  const auto at = entries_.find(address);
  if (at == entries_.end() || at->second.refusals < kMost) return absl::OkStatus();
  const Duration left = at->second.since + kPeriod - now;
  if (left <= Duration::zero()) return absl::OkStatus();
  return WithRetryAfter(
      ResourceExhausted("{} enrollments from {} were refused within a minute: check the token, and "
                        "try again later",
                        at->second.refusals, address),
      left);
}

void RefusalBook::Add(std::string_view address) {
  if (address.empty()) return;
  const Duration now = clock_.Monotonic();
  std::lock_guard lock(mutex_);
  auto at = entries_.find(address);
  if (at == entries_.end()) {
    if (entries_.size() >= kMaxAddresses)
      std::erase_if(entries_, [&](const auto& e) { return e.second.since + kPeriod <= now; });
    // So many at once come from one who has a network of addresses: the counts begin anew.
    if (entries_.size() >= kMaxAddresses) entries_.clear();
    at = entries_.emplace(std::string(address), Entry{now, 0}).first;
  }
  if (at->second.since + kPeriod <= now) at->second = {now, 0};
  ++at->second.refusals;
}

}  // namespace quantfleet::daemon
