// F16 and BF16, several elements at a time. Included once per target.
#if defined(QF_SIMD_FLOAT_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef QF_SIMD_FLOAT_INL
#undef QF_SIMD_FLOAT_INL
#else
#define QF_SIMD_FLOAT_INL
#endif

#include "hwy/highway.h"
#include "pipeline/tensor/codecs.h"

#if HWY_TARGET != HWY_SCALAR  // whose twin is the scalar codec itself

HWY_BEFORE_NAMESPACE();
namespace quantfleet::pipeline::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

inline void EncodeF16(const float* values, int64_t rows, int64_t cols, const float*,
                      std::byte* out) {
  const hn::ScalableTag<float> d;
  const hn::Rebind<hwy::float16_t, decltype(d)> d16;
  const int64_t n = rows * cols, lanes = static_cast<int64_t>(hn::Lanes(d));
  auto* to = reinterpret_cast<hwy::float16_t*>(out);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes)
    hn::StoreU(hn::DemoteTo(d16, hn::LoadU(d, values + i)), d16, to + i);
  kF16Codec.encode(values + i, 1, n - i, nullptr, out + 2 * i);
}

inline void DecodeF16(const std::byte* blocks, int64_t n, float* out) {
  const hn::ScalableTag<float> d;
  const hn::Rebind<hwy::float16_t, decltype(d)> d16;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto* from = reinterpret_cast<const hwy::float16_t*>(blocks);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes)
    hn::StoreU(hn::PromoteTo(d, hn::LoadU(d16, from + i)), d, out + i);
  kF16Codec.decode(blocks + 2 * i, n - i, out + i);
}

inline void EncodeBF16(const float* values, int64_t rows, int64_t cols, const float*,
                       std::byte* out) {
  const hn::ScalableTag<float> d;
  const hn::RebindToUnsigned<decltype(d)> du;
  const hn::Rebind<uint16_t, decltype(d)> d16;
  const int64_t n = rows * cols, lanes = static_cast<int64_t>(hn::Lanes(d));
  auto* to = reinterpret_cast<uint16_t*>(out);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const auto bits = hn::BitCast(du, hn::LoadU(d, values + i));
    const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 1));
    const auto rounded = hn::ShiftRight<16>(hn::Add(bits, hn::Add(odd, hn::Set(du, 0x7fff))));
    const auto quiet = hn::Or(hn::ShiftRight<16>(bits), hn::Set(du, 64));
    const auto is_nan = hn::Gt(hn::And(bits, hn::Set(du, 0x7fffffff)), hn::Set(du, 0x7f800000));
    hn::StoreU(hn::TruncateTo(d16, hn::IfThenElse(is_nan, quiet, rounded)), d16, to + i);
  }
  kBF16Codec.encode(values + i, 1, n - i, nullptr, out + 2 * i);
}

inline void DecodeBF16(const std::byte* blocks, int64_t n, float* out) {
  const hn::ScalableTag<float> d;
  const hn::RebindToUnsigned<decltype(d)> du;
  const hn::Rebind<uint16_t, decltype(d)> d16;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto* from = reinterpret_cast<const uint16_t*>(blocks);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const auto bits = hn::ShiftLeft<16>(hn::PromoteTo(du, hn::LoadU(d16, from + i)));
    hn::StoreU(hn::BitCast(d, bits), d, out + i);
  }
  kBF16Codec.decode(blocks + 2 * i, n - i, out + i);
}

inline std::span<const Codec> FloatTwins() {
  static const Codec twins[] = {{DType::kF16, EncodeF16, DecodeF16, kF16Codec.dot},
                                {DType::kBF16, EncodeBF16, DecodeBF16, kBF16Codec.dot}};
  return twins;
}

}  // namespace quantfleet::pipeline::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // not HWY_SCALAR

#endif  // once per target
