#include "agent/update/health_gate.h"

#include "common/base/bytes.h"

namespace quantfleet::agent {

absl::Status HealthGate::Check(const Health& health) const {
  if (!golden.empty() && health.golden_agreement < policy.min_golden_agreement())
    return DataLoss("of the golden answers' tokens it gives {:.1f} %, the class wants {:.1f} %",
                    100 * health.golden_agreement, 100 * policy.min_golden_agreement());
  if (health.tokens_per_second < policy.min_tokens_per_second())
    return DeadlineExceeded("it makes {:.2f} tokens/s, the class wants {:.2f}",
                            health.tokens_per_second, policy.min_tokens_per_second());
  return CheckMemory(health.memory_available_bytes);
}

absl::Status HealthGate::CheckMemory(uint64_t available) const {
  if (available != 0 && available < policy.min_memory_available_bytes())
    return ResourceExhausted("it leaves {} of memory, the class wants {}", HumanBytes(available),
                             HumanBytes(policy.min_memory_available_bytes()));
  return absl::OkStatus();
}

}  // namespace quantfleet::agent
