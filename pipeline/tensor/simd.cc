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

HWY_BEFORE_NAMESPACE();
namespace quantfleet::pipeline::HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR
const Codec* FindTwin(DType) { return nullptr; }
#else
const Codec* FindTwin(DType type) {
  static const Codec f16 = {DType::kF16, EncodeF16, DecodeF16, kF16Codec.dot};
  static const Codec bf16 = {DType::kBF16, EncodeBF16, DecodeBF16, kBF16Codec.dot};
  static const Codec q8_0 = {DType::kQ8_0, EncodeBlocks32<Q8_0Lanes>, kQ8_0Codec.decode,
                             kQ8_0Codec.dot};
  static const Codec q4_0 = {DType::kQ4_0, EncodeRows32<Q4_0Lanes, Q4_0Block>, kQ4_0Codec.decode,
                             kQ4_0Codec.dot};
  static const Codec q4_1 = {DType::kQ4_1, EncodeRows32<Q4_1Lanes, Q4_1Block>, kQ4_1Codec.decode,
                             kQ4_1Codec.dot};
  static const Codec q5_0 = {DType::kQ5_0, EncodeRows32<Q5_0Lanes, Q5_0Block>, kQ5_0Codec.decode,
                             kQ5_0Codec.dot};
  static const Codec q5_1 = {DType::kQ5_1, EncodeRows32<Q5_1Lanes, Q5_1Block>, kQ5_1Codec.decode,
                             kQ5_1Codec.dot};
  static const Codec q4_k = {DType::kQ4_K, EncodeAffineKRows<Q4_KLanes>, kQ4_KCodec.decode,
                             kQ4_KCodec.dot};
  static const Codec q5_k = {DType::kQ5_K, EncodeAffineKRows<Q5_KLanes>, kQ5_KCodec.decode,
                             kQ5_KCodec.dot};
  static const Codec q6_k = {DType::kQ6_K, EncodeQ6KRows, kQ6_KCodec.decode, kQ6_KCodec.dot};
  switch (type) {
    case DType::kF32:
      return nullptr;
    case DType::kF16:
      return &f16;
    case DType::kBF16:
      return &bf16;
    case DType::kQ8_0:
      return &q8_0;
    case DType::kQ4_0:
      return &q4_0;
    case DType::kQ4_1:
      return &q4_1;
    case DType::kQ5_0:
      return &q5_0;
    case DType::kQ5_1:
      return &q5_1;
    case DType::kQ4_K:
      return &q4_k;
    case DType::kQ5_K:
      return &q5_k;
    case DType::kQ6_K:
      return &q6_k;
  }
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
