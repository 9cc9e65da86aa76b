// VectorOps for x86 with AVX2, FMA and F16C. Compiled for them function by function: nothing here
// runs elsewhere.
#if defined(__x86_64__)

#define QF_TARGET __attribute__((target("avx2,fma,f16c")))

#include "engine/kernels/registers_avx2-inl.h"
#include "engine/kernels/vector_kernels-inl.h"

namespace quantfleet::engine {

const VectorOps& Avx2Ops() {
  static constexpr VectorOps kOps = MakeVectorOps<Avx2>();
  return kOps;
}

}  // namespace quantfleet::engine

#endif
