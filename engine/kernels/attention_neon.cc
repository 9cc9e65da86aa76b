// Attention for aarch64: NEON of armv8-a, which every one has.
#if defined(__aarch64__)

#define QF_TARGET

#include "engine/kernels/attention_kernels-inl.h"
#include "engine/kernels/registers_neon-inl.h"

namespace quantfleet::engine {

const AttentionOps& NeonAttentionOps() {
  static constexpr AttentionOps kOps = {"NEON", FindKernels<Neon>};
  return kOps;
}

}  // namespace quantfleet::engine

#endif
