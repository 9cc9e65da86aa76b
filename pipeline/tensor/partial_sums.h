// A dot product's order of additions: sixteen partial sums, element i to sum i mod 16, which are
// folded in halves at the end. One vector register of 16 lanes, two of 8 and four of 4 all give the
// same bits.
#pragma once

#include <cstdint>

namespace quantfleet::pipeline {

struct PartialSums {
  static constexpr int kSums = 16;
  float sums[kSums] = {};

  // n is a multiple of 16, but for the last call.
  void Add(const float* a, const float* b, int64_t n) {
    int64_t i = 0;
    for (; i + kSums <= n; i += kSums) {
      for (int lane = 0; lane < kSums; ++lane) sums[lane] += a[i + lane] * b[i + lane];
    }
    for (int lane = 0; i + lane < n; ++lane) sums[lane] += a[i + lane] * b[i + lane];
  }

  float Total() const {
    float folded[kSums];
    for (int i = 0; i < kSums; ++i) folded[i] = sums[i];
    for (int half = kSums / 2; half > 0; half /= 2) {
      for (int i = 0; i < half; ++i) folded[i] += folded[i + half];
    }
    return folded[0];
  }
};

// The dot product of x with n values that decode(first, count, out) yields piece by piece.
template <class Decode>
float DotStrips(const float* x, int64_t n, const Decode& decode) {
  constexpr int64_t kStrip = 64;
  PartialSums sums;
  float strip[kStrip];
  for (int64_t i = 0; i < n; i += kStrip) {
    const int64_t count = n - i < kStrip ? n - i : kStrip;
    decode(i, count, strip);
    sums.Add(strip, x + i, count);
  }
  return sums.Total();
}

}  // namespace quantfleet::pipeline
