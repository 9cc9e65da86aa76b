// VectorOps for aarch64: NEON of armv8-a, which every one has.
#if defined(__aarch64__)

#define QF_TARGET

#include "engine/kernels/registers_neon-inl.h"
#include "engine/kernels/vector_kernels-inl.h"

namespace quantfleet::engine {

const VectorOps& NeonOps() {
  static constexpr VectorOps kOps = MakeVectorOps<Neon>();
  return kOps;
}

}  // namespace quantfleet::engine

#endif
