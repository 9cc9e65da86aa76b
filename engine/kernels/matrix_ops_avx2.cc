// MatrixOps for x86 with AVX2, FMA and F16C: products of bytes by pairs, in 16 bits.
#if defined(__x86_64__)

#define QF_TARGET __attribute__((target("avx2,fma,f16c")))

#include "engine/kernels/panel_kernels-inl.h"
#include "engine/kernels/registers_avx2-inl.h"

namespace quantfleet::engine {
namespace {

template <int kBits>
QF_INLINE __m256i DotBytes(__m256i codes, __m256i signed_codes) {
  using Products = Avx2::Products<kBits>;
  return Products::Widen(Products::Of(codes, signed_codes));
}

}  // namespace

const MatrixOps& Avx2MatrixOps() {
  static constexpr MatrixOps kOps =
      MakeMatrixOps<PairsByLayout<PanelSet<Avx2, /*kSigned=*/true>>>("AVX2", QuantizeSimd);
  return kOps;
}

}  // namespace quantfleet::engine

#endif
