// MatrixOps for x86 with AVX-512 and VNNI, whose one instruction adds four products of bytes.
#if defined(__x86_64__)

#define QF_TARGET \
  __attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")))

#include "engine/kernels/panel_kernels-inl.h"
#include "engine/kernels/registers_avx512-inl.h"

namespace quantfleet::engine {
namespace {

struct Avx512Vnni : Avx512 {
  struct FourProducts {
    static constexpr int kRun = 64;  // a group's, and more
    QF_INLINE Ints Of(Ints codes, Ints signed_codes) { return Add(NoInts(), codes, signed_codes); }
    QF_INLINE Ints Add(Ints sums, Ints codes, Ints signed_codes) {
      return _mm512_dpbusd_epi32(sums, codes, signed_codes);
    }
    QF_INLINE void Keep(Ints&) {}
    QF_INLINE Ints Widen(Ints sums) { return sums; }
  };
  template <int>
  using Products = FourProducts;
};

template <int>
QF_INLINE __m256i DotBytes(__m256i unsigned_codes, __m256i signed_codes) {
  return _mm256_dpbusd_epi32(_mm256_setzero_si256(), unsigned_codes, signed_codes);
}

}  // namespace

const MatrixOps& Avx512MatrixOps() {
  static constexpr MatrixOps kOps =
      MakeMatrixOps<PairsByLayout<PanelSet<Avx512Vnni, /*kSigned=*/false>>>("AVX-512 VNNI",
                                                                            QuantizeSimd);
  return kOps;
}

}  // namespace quantfleet::engine

#endif
