// The reference's searches for a block's scale: a row of candidates, each fitted by weighted least
// squares, the best kept. Which candidate wins hangs on the last bit of float sums, so their order
// and association are part of the format: elements in order, (w * x) * l, (w * l) * l, (w * l) * x,
// nothing fused.
#pragma once

#include <algorithm>
#include <cmath>

#include "pipeline/tensor/block_math.h"

namespace quantfleet::pipeline {

// Blocks whose values all lie below this are zero to the reference.
inline constexpr float kZeroBlock = 1e-15f;

// The value whose magnitude is largest, the first of equals.
template <int kElements>
float SignedMax(const float* x) {
  const float largest = MaxMagnitude<kElements>(x);
  for (int i = 0; i < kElements; ++i) {
    if (std::fabs(x[i]) == largest) return largest == 0.f ? 0.f : x[i];
  }
  return 0.f;
}

// x ~ scale * l, l in -levels .. levels - 1. codes = l + levels; a zero block has scale 0 and codes
// 0.
template <int kElements>
float SearchSymmetric(const float* x, const float* weights, int levels, uint8_t* codes) {
  const float max = SignedMax<kElements>(x);
  if (std::fabs(max) < kZeroBlock) {
    std::fill_n(codes, kElements, uint8_t{0});
    return 0;
  }
  const float whole = static_cast<float>(levels);
  const auto level = [&](float inverse, int i) {
    return std::clamp(NearestInt(inverse * x[i]), -levels, levels - 1);
  };
  struct Fit {
    float lx = 0, l2 = 0;
  };
  const auto fit = [&](float inverse) {
    Fit sums;
    for (int i = 0; i < kElements; ++i) {
      const float l = static_cast<float>(level(inverse, i));
      sums.lx += weights[i] * x[i] * l;
      sums.l2 += weights[i] * l * l;
    }
    return sums;
  };
  float winner = -whole / max;
  const Fit first = fit(winner);
  float scale = first.l2 != 0.f ? first.lx / first.l2 : 0.f;
  float best = scale * first.lx;
  for (int step = -9; step <= 9; ++step) {
    if (step == 0) continue;
    const float inverse = -(whole + 0.1f * static_cast<float>(step)) / max;
    const Fit sums = fit(inverse);
    if (sums.l2 > 0 && sums.lx * sums.lx > best * sums.l2) {
      winner = inverse;
      scale = sums.lx / sums.l2;
      best = scale * sums.lx;
    }
  }
  for (int i = 0; i < kElements; ++i) codes[i] = static_cast<uint8_t>(level(winner, i) + levels);
  return scale;
}

// The same by other means: from the first candidate's levels on, each in turn is moved to where the
// others would have it, up to five rounds. Weights are x^2.
template <int kElements>
float SearchSymmetricByMoves(const float* x, int levels, uint8_t* codes) {
  const float max = SignedMax<kElements>(x);
  if (std::fabs(max) < kZeroBlock) {
    std::fill_n(codes, kElements, uint8_t{0});
    return 0;
  }
  const float inverse = -static_cast<float>(levels) / max;
  float found[kElements];
  float sum_lx = 0, sum_l2 = 0;
  const auto level = [&](float v) {
    return static_cast<float>(std::clamp(NearestInt(v), -levels, levels - 1));
  };
  for (int i = 0; i < kElements; ++i) {
    const float l = found[i] = level(inverse * x[i]), w = x[i] * x[i];
    sum_lx += w * x[i] * l;
    sum_l2 += w * l * l;
  }
  for (int round = 0; round < 5; ++round) {
    bool changed = false;
    for (int i = 0; i < kElements; ++i) {
      const float w = x[i] * x[i], l = found[i];
      float lx = sum_lx - w * x[i] * l;
      if (!(lx > 0)) continue;
      float l2 = sum_l2 - w * l * l;
      const float moved = level(x[i] * l2 / lx);
      if (moved == l) continue;
      lx += w * x[i] * moved;
      l2 += w * moved * moved;
      if (l2 > 0 && lx * lx * sum_l2 > sum_lx * sum_lx * l2) {
        found[i] = moved;
        sum_lx = lx;
        sum_l2 = l2;
        changed = true;
      }
    }
    if (!changed) break;
  }
  for (int i = 0; i < kElements; ++i)
    codes[i] = static_cast<uint8_t>(static_cast<int>(found[i]) + levels);
  return sum_l2 > 0 ? sum_lx / sum_l2 : 0.f;
}

// x ~ scale * l + min, l in 0 .. levels, min <= 0. Candidate s of 0 .. steps tries to spread the
// values over levels + first + delta * s. The best has the least weighted squared errors, or the
// least weighted magnitudes of errors.
struct AffineSearch {
  int levels;
  float first, delta;
  int steps;
  bool by_magnitude = false;
};

struct Affine {
  float scale, min;
};

template <int kElements>
Affine SearchAffine(const float* x, const float* weights, const AffineSearch& how, uint8_t* codes) {
  float min = x[0], max = x[0];
  float sum_w = weights[0], sum_x = sum_w * x[0];
  for (int i = 1; i < kElements; ++i) {
    if (x[i] < min) min = x[i];
    if (x[i] > max) max = x[i];
    sum_w += weights[i];
    sum_x += weights[i] * x[i];
  }
  if (min > 0) min = 0;
  if (max <= min) {
    std::fill_n(codes, kElements, uint8_t{0});
    return {0.f, min};
  }
  const float top = static_cast<float>(how.levels);
  const auto level = [&](float inverse, float origin, int i) {
    return static_cast<float>(std::clamp(NearestInt(inverse * (x[i] - origin)), 0, how.levels));
  };
  float candidate[kElements];
  const auto error = [&](float scale, float origin) {
    float sum = 0;
    for (int i = 0; i < kElements; ++i) {
      const float difference = scale * candidate[i] + origin - x[i];
      sum += weights[i] * (how.by_magnitude ? std::fabs(difference) : difference * difference);
    }
    return sum;
  };
  struct {
    float inverse, origin;
  } winner = {top / (max - min), min};
  float scale = 1 / winner.inverse;
  for (int i = 0; i < kElements; ++i) candidate[i] = level(winner.inverse, min, i);
  float best = error(scale, min);
  for (int step = 0; step <= how.steps; ++step) {
    // The range is the winner's so far: a better min moves the candidates that follow.
    const float inverse = (how.first + how.delta * static_cast<float>(step) + top) / (max - min);
    float sum_l = 0, sum_l2 = 0, sum_xl = 0;
    for (int i = 0; i < kElements; ++i) {
      const float l = candidate[i] = level(inverse, min, i);
      const float weighted = weights[i] * l;
      sum_l += weighted;
      sum_l2 += weighted * l;
      sum_xl += weighted * x[i];
    }
    const float determinant = sum_w * sum_l2 - sum_l * sum_l;
    if (!(determinant > 0)) continue;
    Affine fitted = {(sum_w * sum_xl - sum_x * sum_l) / determinant,
                     (sum_l2 * sum_x - sum_l * sum_xl) / determinant};
    if (fitted.min > 0) fitted = {sum_xl / sum_l2, 0.f};
    const float e = error(fitted.scale, fitted.min);
    if (e < best) {
      best = e;
      winner = {inverse, min};
      scale = fitted.scale;
      min = fitted.min;
    }
  }
  for (int i = 0; i < kElements; ++i)
    codes[i] = static_cast<uint8_t>(level(winner.inverse, winner.origin, i));
  return {scale, min};
}

// x ~ scale * l for n values that are not negative, l in 0 .. levels: candidates first, then each
// level in turn is moved to where the others would have it, up to five rounds.
inline float SearchPositive(const float* x, const float* weights, int n, int levels,
                            uint8_t* codes) {
  float max = 0;
  for (int i = 0; i < n; ++i) max = x[i] > max ? x[i] : max;
  if (max < kZeroBlock) {
    std::fill_n(codes, n, uint8_t{0});
    return 0;
  }
  const float top = static_cast<float>(levels);
  const auto error = [&](float inverse) {
    const float scale = 1 / inverse;
    float sum = 0;
    for (int i = 0; i < n; ++i) {
      const float difference =
          x[i] - scale * static_cast<float>(std::min(levels, NearestInt(inverse * x[i])));
      sum += weights[i] * difference * difference;
    }
    return sum;
  };
  float inverse = top / max;
  float best = error(inverse);
  for (int step = -4; step <= 4; ++step) {
    if (step == 0) continue;
    const float candidate = (0.1f * static_cast<float>(step) + top) / max;
    if (const float e = error(candidate); e < best) {
      best = e;
      inverse = candidate;
    }
  }
  float sum_lx = 0, sum_l2 = 0;
  for (int i = 0; i < n; ++i) {
    const int level = std::min(levels, NearestInt(inverse * x[i]));
    codes[i] = static_cast<uint8_t>(level);
    const float l = static_cast<float>(level);
    sum_lx += weights[i] * x[i] * l;
    sum_l2 += weights[i] * l * l;
  }
  for (int round = 0; round < 5; ++round) {
    bool changed = false;
    for (int i = 0; i < n; ++i) {
      const float w = weights[i], l = static_cast<float>(codes[i]);
      float lx = sum_lx - w * x[i] * l;
      float l2 = sum_l2 - w * l * l;
      if (!(lx > 0 && l2 > 0)) continue;
      const int moved = std::min(levels, NearestInt(x[i] * l2 / lx));
      if (moved == codes[i]) continue;
      const float m = static_cast<float>(moved);
      lx += w * x[i] * m;
      l2 += w * m * m;
      if (lx * lx * sum_l2 > sum_lx * sum_lx * l2) {
        codes[i] = static_cast<uint8_t>(moved);
        sum_lx = lx;
        sum_l2 = l2;
        changed = true;
      }
    }
    if (!changed) break;
  }
  return sum_l2 > 0 ? sum_lx / sum_l2 : 0.f;
}

}  // namespace quantfleet::pipeline
