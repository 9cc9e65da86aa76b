// Within what the values of an activation are: the least, the greatest, and percentiles, from
// counts of values that are alike in sign, exponent and five more digits. Neither order nor threads
// change a figure. One thread at a time.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace quantfleet::engine {

// Those that are kept, in percent.
inline constexpr std::array<double, 4> kPercentiles = {0.01, 0.1, 99.9, 99.99};

struct ActivationRange {
  std::string name;  // "blk.3.ffn_down"
  uint64_t count = 0;
  float least = 0, greatest = 0;
  std::array<float, 4> percentiles = {};
};

class ValueRange {
 public:
  // Memory of one.
  static uint64_t Bytes() { return kBins * sizeof(uint64_t); }

  void Add(std::span<const float> values);
  bool finite() const { return finite_; }
  // Percentiles are at most a 32nd of their value outward, and within the least and the greatest.
  ActivationRange Summary(std::string name) const;

 private:
  static constexpr size_t kBins = size_t{1} << 14;
  float Percentile(double percent) const;

  std::vector<uint64_t> bins_ = std::vector<uint64_t>(kBins);  // by rising value
  uint64_t count_ = 0;
  float least_ = 0, greatest_ = 0;
  bool finite_ = true;
};

// The text of ranges.json.
std::string RangesJson(std::span<const ActivationRange> ranges);

}  // namespace quantfleet::engine
