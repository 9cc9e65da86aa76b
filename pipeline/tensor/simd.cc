// Compiled once per instruction set; the codecs of each, and the choice between them.
#include "pipeline/tensor/simd.h"

// A search keeps vectors in arrays, which vectors without a known length do not allow: SVE machines
// take NEON.
#undef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "pipeline/tensor/simd.cc"
#include "hwy/foreach_target.h"  // first, as Highway wants it
#include "hwy/highway.h"
#include "pipeline/tensor/simd_blocks32-inl.h"
#include "pipeline/tensor/simd_float-inl.h"
#include "pipeline/tensor/simd_k-inl.h"
#include "pipeline/tensor/simd_points-inl.h"
#include "pipeline/tensor/simd_table-inl.h"

HWY_BEFORE_NAMESPACE();
namespace quantfleet::pipeline::HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR
const Codec* FindTwin(DType) { return nullptr; }
#else
const Codec* FindTwin(DType type) {
  for (const std::span<const Codec> twins :
       {FloatTwins(), Blocks32Twins(), SuperBlockTwins(), TableTwins(), PointTwins()})
    if (const Codec* twin = FindAmong(twins, type)) return twin;
  return nullptr;
}
#endif

}  // namespace quantfleet::pipeline::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quantfleet::pipeline {

HWY_EXPORT(FindTwin);

const Codec* FindSimdCodec(DType type) { return HWY_DYNAMIC_DISPATCH(FindTwin)(type); }

std::vector<NamedCodec> SimdTwins(DType type) {
  std::vector<NamedCodec> twins;
  // On aarch64 there is one, and it is not asked for: Highway would look for AES, which NEON's CPUs
  // may lack.
  const int64_t supported = HWY_SUPPORTED_TARGETS;
  for (const int64_t target : {HWY_AVX2, HWY_AVX3, HWY_NEON}) {
    if ((supported & target) == 0) continue;
    hwy::GetChosenTarget().Update(target);
    if (const Codec* codec = FindSimdCodec(type)) twins.push_back({hwy::TargetName(target), codec});
  }
  hwy::GetChosenTarget().Update(supported);
  return twins;
}

}  // namespace quantfleet::pipeline
#endif
