// Attention with AVX2, FMA and F16C. Compiled for them function by function: nothing here runs
// elsewhere.
#if defined(__x86_64__)

#define QF_TARGET __attribute__((target("avx2,fma,f16c")))

#include "engine/kernels/attention_kernels-inl.h"
#include "engine/kernels/registers_avx2-inl.h"

namespace quantfleet::engine {

const AttentionOps& Avx2AttentionOps() {
  static constexpr AttentionOps kOps = {"AVX2", FindKernels<Avx2>};
  return kOps;
}

}  // namespace quantfleet::engine

#endif
