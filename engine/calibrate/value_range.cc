#include "engine/calibrate/value_range.h"

#include <algorithm>
#include <bit>
#include <boost/json.hpp>
#include <cmath>

namespace quantfleet::engine {
namespace {

namespace json = boost::json;

constexpr uint32_t kSign = uint32_t{1} << 31;
constexpr int kDropped = 18;  // of a float's digits

// Numbers in the order of the values.
uint32_t Rank(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  return (bits & kSign) != 0 ? ~bits : bits | kSign;
}
float OfRank(uint32_t rank) {
  return std::bit_cast<float>((rank & kSign) != 0 ? rank & ~kSign : ~rank);
}

}  // namespace

void ValueRange::Add(std::span<const float> values) {
  for (const float value : values) {
    if (!std::isfinite(value)) {
      finite_ = false;
      continue;
    }
    least_ = count_ == 0 ? value : std::min(least_, value);
    greatest_ = count_ == 0 ? value : std::max(greatest_, value);
    ++count_;
    ++bins_[Rank(value) >> kDropped];
  }
}

float ValueRange::Percentile(double percent) const {
  const bool low = percent < 50;
  // Values outside it.
  auto left =
      static_cast<uint64_t>(static_cast<double>(count_) * (low ? percent : 100 - percent) / 100);
  for (size_t i = 0; i < kBins; ++i) {
    const size_t bin = low ? i : kBins - 1 - i;
    if (bins_[bin] <= left) {
      left -= bins_[bin];
      continue;
    }
    const auto first = static_cast<uint32_t>(bin << kDropped);
    const float edge = OfRank(low ? first : first | ((uint32_t{1} << kDropped) - 1));
    return std::clamp(edge, least_, greatest_);
  }
  return low ? least_ : greatest_;
}

ActivationRange ValueRange::Summary(std::string name) const {
  ActivationRange summary{
      .name = std::move(name), .count = count_, .least = least_, .greatest = greatest_};
  for (size_t i = 0; i < kPercentiles.size(); ++i)
    summary.percentiles[i] = Percentile(kPercentiles[i]);
  return summary;
}

std::string RangesJson(std::span<const ActivationRange> ranges) {
  json::array activations;
  for (const ActivationRange& range : ranges)
    activations.push_back(
        {{"name", range.name},
         {"values", range.count},
         {"min", range.least},
         {"max", range.greatest},
         {"percentiles", json::array(range.percentiles.begin(), range.percentiles.end())}});
  const json::object all{{"percentiles", json::array(kPercentiles.begin(), kPercentiles.end())},
                         {"activations", std::move(activations)}};
  return json::serialize(all) + "\n";
}

}  // namespace quantfleet::engine
