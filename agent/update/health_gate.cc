#include "agent/update/health_gate.h"

#include "common/base/bytes.h"

namespace quantfleet::agent {

Verdict HealthGate::Check(const Health& health) const {
  if (!golden.empty() && health.golden_agreement < policy.min_golden_agreement())
    return Setback(
        Reason::kHealthFailed,
        "the share of matching golden-answer tokens is {:.1f} %, the class requires {:.1f} %",
        100 * health.golden_agreement, 100 * policy.min_golden_agreement());
  if (health.tokens_per_second < policy.min_tokens_per_second())
    return Setback(Reason::kTooSlow, "the speed is {:.2f} tokens/s, the class requires {:.2f}",
                   health.tokens_per_second, policy.min_tokens_per_second());
  return CheckMemory(health.memory_available_bytes);
}

Verdict HealthGate::CheckMemory(uint64_t available) const {
  if (available != 0 && available < policy.min_memory_available_bytes())
    return Setback(Reason::kOutOfMemory, "available memory is {}, the class requires {}",
                   HumanBytes(available), HumanBytes(policy.min_memory_available_bytes()));
  return {};
}

}  // namespace quantfleet::agent
