// Attention with AVX-512. Compiled for it function by function: nothing here runs elsewhere.
#if defined(__x86_64__)

#define QF_TARGET __attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq")))

#include "engine/kernels/attention_kernels-inl.h"
#include "engine/kernels/registers_avx512-inl.h"

namespace quantfleet::engine {

const AttentionOps& Avx512AttentionOps() {
  static constexpr AttentionOps kOps = {"AVX-512", FindKernels<Avx512>};
  return kOps;
}

}  // namespace quantfleet::engine

#endif
