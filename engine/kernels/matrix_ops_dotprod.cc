// MatrixOps for aarch64 with the dot products of armv8.2-a (FEAT_DotProd): sixteen products an
// instruction.
#if defined(__aarch64__)

// What a compiler wants for the intrinsic; every CPU that has it is of this architecture at least.
#define QF_TARGET __attribute__((target("arch=armv8.2-a+dotprod")))
#include "engine/kernels/neon_units-inl.h"

namespace quantfleet::engine {
namespace {

QF_INLINE int32x4_t AddDots(int32x4_t sum, int8x16_t a, int8x16_t b) {
  return vdotq_s32(sum, a, b);
}

template <class B>
QF_TARGET void MultiplyTogether(const std::byte* weights, int64_t row_bytes, int64_t rows,
                                int64_t cols, const ActivationRow* x, float* y, int64_t y_stride) {
  for (int64_t r = 0; r < rows; ++r)
    MultiplyRow<B, kTogether>(weights + r * row_bytes, cols, x, y + r, y_stride);
}

}  // namespace

const MatrixOps& DotprodMatrixOps() {
  static const MatrixOps ops =
      MakeMatrixOps<PairsByLayout<NeonSet>>("NEON dotprod", NeonMatrixOps().quantize);
  return ops;
}

}  // namespace quantfleet::engine

#endif
