// IQ3_S's parts: 256 elements in 110 bytes: d (f16), the low bytes of the numbers of 64 points of
// four, 8 bytes with the ninth bits of eight numbers each, 32 bytes of signs, then 4 bytes with the
// scales of two sub-blocks of 32, low nibble first. x = d * (2 * sc + 1) * point.
//
// The reference's search for a sub-block's scale: at each candidate each four elements take the
// point of their nearest levels, or of the points around the one whose weighted error is least.
// Float sums add in its order, as in scale_search.h: (w * x) * p, (w * p) * p, (sqrt(w) * e) * e.
#pragma once

#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "common/base/bytes.h"
#include "pipeline/tensor/codebooks.h"
#include "pipeline/tensor/half.h"
#include "pipeline/tensor/iq4.h"

namespace quantfleet::pipeline {

inline constexpr int kIq3Elements = 256, kIq3Bytes = 110, kIq3Sub = 32, kIq3Point = 4;
inline constexpr int kIq3Subs = kIq3Elements / kIq3Sub, kIq3Points = kIq3Sub / kIq3Point;
inline constexpr int kIq3CodesAt = 2, kIq3UpperAt = 66, kIq3SignsAt = 74, kIq3ScalesAt = 106;
inline constexpr int kIq3Levels = 8, kIq3LargestPoint = 2 * kIq3Levels - 1;
// Candidates are the scale by which the largest value comes to the largest coordinate, and so many
// to either side.
inline constexpr int kIq3Tries = 9, kIq3Candidates = 2 * kIq3Tries + 1;
// As kIq4Limit; and the least largest value of a sub-block for which no candidate is infinite.
inline constexpr float kIq3Limit = 1e9f, kIq3Least = 1e-36f;

// Where four levels of 0 .. 7 lead, by their place: level i at bits 3 * i and up.
struct Iq3Places {
  static constexpr int kPlaces = 4096;
  // Neighbors of a place begin and end at a multiple of it; those that fill up are the first again.
  static constexpr size_t kStep = 16;

  // The point with these levels; -1: the codebook has none.
  std::array<int16_t, kPlaces> point;
  // Where its neighbors stand then: the points at the three least distances from it, by distance,
  // then number.
  std::array<uint32_t, kPlaces + 1> first;
  std::vector<uint16_t> numbers;
  std::vector<uint32_t> points;  // their coordinates, a byte each
};
const Iq3Places& FindIq3Places();

inline float Iq3Inverse(int candidate, float max) {
  return (static_cast<float>(kIq3LargestPoint) + static_cast<float>(candidate - kIq3Tries) * 0.2f) /
         max;
}

inline int Iq3PlaceOf(const float* x, float inverse) {
  int place = 0;
  for (int i = 0; i < kIq3Point; ++i)
    place |= std::clamp(NearestInt(0.5f * (inverse * x[i] - 1)), 0, kIq3Levels - 1) << 3 * i;
  return place;
}

// Of the neighbors of a place the one that loses least.
inline int NearestIq3(const Iq3Places& places, int place, const float* x, const float* roots,
                      float scale) {
  size_t nearest = places.first[place];
  float best = std::numeric_limits<float>::max();
  for (size_t n = nearest; n < places.first[place + 1]; ++n) {
    const CodebookPoint<kIq3Point>& point = kIq3SPoints[places.numbers[n]];
    float error = 0;
    for (int i = 0; i < kIq3Point; ++i) {
      const float difference = scale * static_cast<float>(point[i]) - x[i];
      error += roots[i] * difference * difference;
    }
    if (error < best) {
      best = error;
      nearest = n;
    }
  }
  return places.numbers[nearest];
}

struct Iq3Fit {
  float px = 0, p2 = 0;

  void Add(float weight, float x, float coordinate) {
    px += weight * x * coordinate;
    p2 += weight * coordinate * coordinate;
  }
  bool BetterThan(float best) const { return p2 > 0 && px * px > best * p2; }
};

// What the candidates came to; none is better than 0 where the weights are all 0.
struct Iq3Choice {
  float scale;
  bool exact;  // each point is that of its elements' nearest levels
};

// The points once the scale is known, where they were not all on the codebook; and the scale that
// fits them.
inline float RefitIq3(const float* x, const float* weights, const float* roots, float scale,
                      uint16_t* points) {
  const Iq3Places& places = FindIq3Places();
  const float inverse = 1 / scale;
  Iq3Fit fit;
  for (int p = 0; p < kIq3Points; ++p) {
    const int at = p * kIq3Point, place = Iq3PlaceOf(x + at, inverse);
    const int found = places.point[place];
    points[p] = static_cast<uint16_t>(
        found >= 0 ? found : NearestIq3(places, place, x + at, roots + at, scale));
    for (int i = 0; i < kIq3Point; ++i)
      fit.Add(weights[at + i], x[at + i], static_cast<float>(kIq3SPoints[points[p]][i]));
  }
  return fit.p2 > 0 ? fit.px / fit.p2 : scale;
}

// Portably. `x` are magnitudes, of which `max` is the largest.
inline Iq3Choice ChooseIq3(const float* x, const float* weights, const float* roots, float max,
                           uint16_t* points) {
  const Iq3Places& places = FindIq3Places();
  Iq3Choice choice = {max / kIq3LargestPoint, false};
  float best = 0;
  for (int candidate = 0; candidate < kIq3Candidates; ++candidate) {
    const float inverse = Iq3Inverse(candidate, max), scale = 1 / inverse;
    uint16_t found[kIq3Points];
    bool exact = true;
    Iq3Fit fit;
    for (int p = 0; p < kIq3Points; ++p) {
      const int at = p * kIq3Point, place = Iq3PlaceOf(x + at, inverse);
      int point = places.point[place];
      if (point < 0) {
        exact = false;
        point = NearestIq3(places, place, x + at, roots + at, scale);
      }
      found[p] = static_cast<uint16_t>(point);
      for (int i = 0; i < kIq3Point; ++i)
        fit.Add(weights[at + i], x[at + i],
                static_cast<float>(kIq3SPoints[static_cast<size_t>(point)][i]));
    }
    if (!fit.BetterThan(best)) continue;
    choice = {fit.px / fit.p2, exact};
    best = choice.scale * fit.px;
    std::copy_n(found, kIq3Points, points);
  }
  return choice;
}

using ChooseIq3Points = Iq3Choice (*)(const float* x, const float* weights, const float* roots,
                                      float max, uint16_t* points);

inline void EncodeIq3(const float* x, const float* importance, ChooseIq3Points choose,
                      std::byte* block) {
  std::memset(block, 0, kIq3Bytes);
  if (!(MaxMagnitude<kIq3Elements>(x) < kIq3Limit))
    return Store(block, FloatToHalf(std::numeric_limits<float>::infinity()));
  const float variance = importance == nullptr ? 0.f : Iq4Variance<kIq3Elements>(x);
  float scales[kIq3Subs] = {}, largest = 0;
  for (int s = 0; s < kIq3Subs; ++s) {
    const float* sub = x + s * kIq3Sub;
    const float max = MaxMagnitude<kIq3Sub>(sub);
    if (max == 0.f) continue;
    float magnitudes[kIq3Sub], weights[kIq3Sub], roots[kIq3Sub];
    WeighIq4(sub, importance == nullptr ? nullptr : importance + s * kIq3Sub, variance, weights);
    uint8_t signs[kIq3Sub / 8] = {};
    for (int i = 0; i < kIq3Sub; ++i) {
      roots[i] = std::sqrt(weights[i]);
      magnitudes[i] = std::fabs(sub[i]);
      signs[i / 8] = static_cast<uint8_t>(signs[i / 8] | (sub[i] < 0) << i % 8);
    }
    uint16_t points[kIq3Points] = {};
    // Candidates that are infinite round as only the portable code does.
    const Iq3Choice choice =
        (max < kIq3Least ? ChooseIq3 : choose)(magnitudes, weights, roots, max, points);
    scales[s] = choice.scale;
    if (!choice.exact && choice.scale > 0)
      scales[s] = RefitIq3(magnitudes, weights, roots, choice.scale, points);
    largest = std::max(largest, scales[s]);
    uint32_t upper = 0;
    for (int p = 0; p < kIq3Points; ++p) {
      Store(block + kIq3CodesAt + s * kIq3Points + p, static_cast<uint8_t>(points[p]));
      upper |= static_cast<uint32_t>(points[p] >> 8) << p;
    }
    Store(block + kIq3UpperAt + s, static_cast<uint8_t>(upper));
    std::memcpy(block + kIq3SignsAt + s * sizeof signs, signs, sizeof signs);
  }
  if (largest == 0.f) return;
  // The largest sub-block's scale is 31 d; d is stored a little larger, which loses less.
  const float d = largest / 31, inverse = 1 / d;
  Store(block, FloatToHalf(d * 1.033f));
  for (int s = 0; s < kIq3Subs; s += 2) {
    const auto scale = [&](int sub) {
      return std::clamp(NearestInt(0.5f * (inverse * scales[sub] - 1)), 0, 15);
    };
    Store(block + kIq3ScalesAt + s / 2, static_cast<uint8_t>(scale(s) | scale(s + 1) << 4));
  }
}

}  // namespace quantfleet::pipeline
