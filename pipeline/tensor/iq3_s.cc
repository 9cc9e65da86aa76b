// IQ3_S (iq3_s.h).
#include "pipeline/tensor/iq3_s.h"

#include <algorithm>

#include "pipeline/tensor/block_codec.h"

namespace quantfleet::pipeline {
namespace {

struct IQ3_S {
  static constexpr DType kType = DType::kIQ3_S;
  static constexpr int kElements = kIq3Elements, kBytes = kIq3Bytes;

  static void Encode(const float* x, std::byte* block) { EncodeIq3(x, nullptr, ChooseIq3, block); }
  static void EncodeWeighted(const float* x, const float* importance, float, std::byte* block) {
    EncodeIq3(x, importance, ChooseIq3, block);
  }

  static void Unpack(const std::byte* block, UnpackedBlock& out) {
    const float d = HalfToFloat(Load<uint16_t>(block));
    for (int s = 0; s < kIq3Subs; ++s) {
      const int scale = Load<uint8_t>(block + kIq3ScalesAt + s / 2) >> (s % 2 * 4) & 15;
      out.scales[2 * s] = out.scales[2 * s + 1] = d * static_cast<float>(1 + 2 * scale);
      const int upper = Load<uint8_t>(block + kIq3UpperAt + s);
      for (int p = 0; p < kIq3Points; p += 2) {
        const std::byte* code = block + kIq3CodesAt + kIq3Points * s + p;
        StoreSigned(kIq3SPoints[Load<uint8_t>(code) | (upper >> p & 1) << 8],
                    kIq3SPoints[Load<uint8_t>(code + 1) | (upper >> (p + 1) & 1) << 8],
                    Load<uint8_t>(block + kIq3SignsAt + kIq3Sub / 8 * s + p / 2),
                    out.codes + kIq3Sub * s + kIq3Point * p);
      }
    }
  }
};

int LevelOf(int place, int i) { return place >> 3 * i & (kIq3Levels - 1); }

// In the order in which the reference looks at them.
std::vector<uint16_t> NeighborsOf(int place) {
  constexpr int kDistances = 3;
  std::vector<std::pair<int, uint16_t>> by_distance;
  for (size_t number = 0; number < kIq3SPoints.size(); ++number) {
    int distance = 0;
    for (int i = 0; i < kIq3Point; ++i) {
      const int apart = kIq3SPoints[number][static_cast<size_t>(i)] - (2 * LevelOf(place, i) + 1);
      distance += apart * apart;
    }
    by_distance.emplace_back(distance, static_cast<uint16_t>(number));
  }
  std::ranges::sort(by_distance);
  std::vector<uint16_t> neighbors;
  int distances = 0, last = -1;
  for (const auto& [distance, number] : by_distance) {
    if (distance != last && ++distances > kDistances) break;
    last = distance;
    neighbors.push_back(number);
  }
  return neighbors;
}

Iq3Places MakePlaces() {
  Iq3Places places;
  places.point.fill(-1);
  for (size_t number = 0; number < kIq3SPoints.size(); ++number) {
    size_t place = 0;
    for (size_t i = 0; i < kIq3Point; ++i)
      place |= static_cast<size_t>((kIq3SPoints[number][i] - 1) / 2) << 3 * i;
    places.point[place] = static_cast<int16_t>(number);
  }
  for (int place = 0; place < Iq3Places::kPlaces; ++place) {
    places.first[place] = static_cast<uint32_t>(places.numbers.size());
    if (places.point[place] >= 0) continue;
    std::vector<uint16_t> neighbors = NeighborsOf(place);
    const size_t full = (neighbors.size() + Iq3Places::kStep - 1) / Iq3Places::kStep;
    neighbors.resize(full * Iq3Places::kStep, neighbors.front());
    for (const uint16_t number : neighbors) {
      places.numbers.push_back(number);
      places.points.push_back(std::bit_cast<uint32_t>(kIq3SPoints[number]));
    }
  }
  places.first.back() = static_cast<uint32_t>(places.numbers.size());
  return places;
}

}  // namespace

const Iq3Places& FindIq3Places() {
  static const Iq3Places kPlaces = MakePlaces();
  return kPlaces;
}

const Codec kIQ3_SCodec = MakeCodec<IQ3_S>();

}  // namespace quantfleet::pipeline
