// Compiled once per instruction set, and the choice between them.
#include "pipeline/tensor/rounding/kernels.h"

// A product keeps vectors in arrays, which vectors without a known length do not allow: SVE
// machines take NEON.
#undef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "pipeline/tensor/rounding/kernels.cc"
#include "hwy/foreach_target.h"  // first, as Highway wants it
#include "hwy/highway.h"
#include "pipeline/tensor/rounding/feedback-inl.h"
#include "pipeline/tensor/rounding/search-inl.h"

HWY_BEFORE_NAMESPACE();
namespace quantfleet::pipeline::HWY_NAMESPACE {

const RoundingKernels* AllKernels() {
  static constexpr RoundingKernels kKernels = {
      SearchGroup, SearchPackedGroup, NearestCodes, MultiplyTile, WalkTile, FactorTile, SolveTile};
  return &kKernels;
}

}  // namespace quantfleet::pipeline::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quantfleet::pipeline {

HWY_EXPORT(AllKernels);

const RoundingKernels& FindRoundingKernels() { return *HWY_DYNAMIC_DISPATCH(AllKernels)(); }

}  // namespace quantfleet::pipeline
#endif
