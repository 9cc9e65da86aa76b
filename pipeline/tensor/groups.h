// Groups of 16 to 256 elements with 4 or 8 bits each, as ONNX Runtime, OpenVINO and MLX
// quantize: one family, one template. A block is the scale (F16), then the zero point (a byte) or
// the bias (F16) where the scheme has one, then the codes, unsigned: a byte each, or 2i and 2i + 1
// in one byte, lower half first.
#pragma once

#include <algorithm>
#include <cmath>

#include "pipeline/tensor/blocks32.h"

namespace quantfleet::pipeline {

template <int kBits, int kGroupElements, GroupZero kZero>
struct GroupBlock {
  static constexpr DType kType = GroupType({kBits, kGroupElements, kZero});
  static constexpr int kElements = kGroupElements;
  static constexpr int kLevels = (1 << kBits) - 1, kMiddle = 1 << (kBits - 1);
  static constexpr int kCodesAt = static_cast<int>(CodesAt(kZero));
  static constexpr int kBytes = kCodesAt + kElements * kBits / 8;

  // Around the middle, as Q4_0 and Q8_0 do it.
  static float EncodeMiddle(const float* x, uint8_t* codes) {
    if constexpr (kBits == 4) return RoundSymmetric<kElements>(x, kMiddle, codes);
    const float scale = MaxMagnitude<kElements>(x) / 127.f;
    const float inverse = Reciprocal(scale);
    for (int i = 0; i < kElements; ++i)
      codes[i] = static_cast<uint8_t>(RoundHalfAway(x[i] * inverse) + kMiddle);
    return scale;
  }

  // ONNX Runtime's way: the range always has 0 in it, which is then exactly the point.
  static float EncodePoint(const float* x, uint8_t* codes, uint8_t& point) {
    float min = 0, max = 0;
    for (int i = 0; i < kElements; ++i) {
      min = x[i] < min ? x[i] : min;
      max = x[i] > max ? x[i] : max;
    }
    const float scale = (max - min) / static_cast<float>(kLevels);
    const float inverse = Reciprocal(scale);
    const int32_t zero = std::clamp(RoundHalfAway(-min * inverse), 0, kLevels);
    for (int i = 0; i < kElements; ++i)
      codes[i] = static_cast<uint8_t>(
          std::clamp(RoundHalfAway(x[i] * inverse + static_cast<float>(zero)), 0, kLevels));
    point = static_cast<uint8_t>(zero);
    return scale;
  }

  // MLX's way: the end of larger magnitude is a bias and code 0, and the scale such that 0 has a
  // code too.
  static Affine EncodeBias(const float* x, uint8_t* codes) {
    float min = x[0], max = x[0];
    for (int i = 1; i < kElements; ++i) {
      min = x[i] < min ? x[i] : min;
      max = x[i] > max ? x[i] : max;
    }
    constexpr float kLeastScale = 1e-7f;
    const bool from_min = std::fabs(min) > std::fabs(max);
    const float edge = from_min ? min : max;
    float scale = std::max((max - min) / static_cast<float>(kLevels), kLeastScale);
    if (!from_min) scale = -scale;
    const float edge_code = std::rint(edge / scale);
    if (edge_code != 0.f) scale = edge / edge_code;
    const float bias = edge_code != 0.f ? edge : 0.f;
    for (int i = 0; i < kElements; ++i)
      codes[i] = static_cast<uint8_t>(std::clamp(NearestInt((x[i] - bias) / scale), 0, kLevels));
    return {scale, bias};
  }

  static void Encode(const float* x, std::byte* block) {
    uint8_t codes[kElements];
    float scale;
    if constexpr (kZero == GroupZero::kMiddle) {
      scale = EncodeMiddle(x, codes);
    } else if constexpr (kZero == GroupZero::kPoint) {
      uint8_t point;
      scale = EncodePoint(x, codes, point);
      Store(block + 2, point);
    } else {
      const Affine found = EncodeBias(x, codes);
      scale = found.scale;
      Store(block + 2, FloatToHalf(found.min));
    }
    Store(block, FloatToHalf(scale));
    if constexpr (kBits == 4)
      for (int i = 0; i < kElements / 2; ++i)
        codes[i] = static_cast<uint8_t>(codes[2 * i] | codes[2 * i + 1] << 4);
    std::memcpy(block + kCodesAt, codes, kElements * kBits / 8);
  }

  static void Decode(const std::byte* block, float* x) {
    const float scale = HalfToFloat(Load<uint16_t>(block));
    int zero = kMiddle;
    float bias = 0;
    if constexpr (kZero == GroupZero::kPoint) zero = Load<uint8_t>(block + 2);
    if constexpr (kZero == GroupZero::kBias) bias = HalfToFloat(Load<uint16_t>(block + 2));
    for (int i = 0; i < kElements; ++i) {
      const uint8_t byte = Load<uint8_t>(block + kCodesAt + i * kBits / 8);
      const int code = kBits == 8 ? byte : i % 2 == 0 ? byte & 15 : byte >> 4;
      x[i] = kZero == GroupZero::kBias ? static_cast<float>(code) * scale + bias
                                       : static_cast<float>(code - zero) * scale;
    }
  }
};

}  // namespace quantfleet::pipeline
