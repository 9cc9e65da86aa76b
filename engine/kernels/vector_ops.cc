#include "engine/kernels/vector_ops.h"

#include "pipeline/tensor/codec.h"

namespace quantfleet::engine {
namespace {

using pipeline::DType;
using pipeline::FindCodec;

float Dot(const float* a, const float* b, int64_t n) {
  return FindCodec(DType::kF32)->dot(reinterpret_cast<const std::byte*>(a), b, n);
}

RowDot FindRowDot(DType type) {
  const pipeline::Codec* codec = FindCodec(type);
  return codec == nullptr ? nullptr : codec->dot;
}

RowDecode FindRowDecode(DType type) {
  const pipeline::Codec* codec = FindCodec(type);
  return codec == nullptr ? nullptr : codec->decode;
}

}  // namespace

const VectorOps& ScalarOps() {
  static constexpr VectorOps kOps = {Dot, FindRowDot, FindRowDecode};
  return kOps;
}

const VectorOps& ChosenOps() {
#if defined(__x86_64__)
  static const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                           __builtin_cpu_supports("f16c");
  if (avx2) return Avx2Ops();
#elif defined(__aarch64__)
  return NeonOps();  // every one has NEON
#endif
  return ScalarOps();
}

}  // namespace quantfleet::engine
