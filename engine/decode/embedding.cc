#include "engine/decode/embedding.h"

#include <cmath>

namespace quantfleet::engine {

absl::StatusOr<std::vector<float>> OfLengthOne(std::span<const double> sum) {
  double squares = 0;
  for (const double value : sum) squares += value * value;
  const double length = std::sqrt(squares);
  if (!std::isfinite(length) || length == 0)
    return DataLoss("the model produces no usable vector: its weights are damaged");
  std::vector<float> out;
  out.reserve(sum.size());
  for (const double value : sum) out.push_back(static_cast<float>(value / length));
  return out;
}

void CutTo(int64_t dimensions, std::vector<float>& vector) {
  vector.resize(static_cast<size_t>(dimensions));
  double squares = 0;
  for (const float value : vector) squares += double{value} * value;
  if (squares == 0) return;
  for (float& value : vector) value = static_cast<float>(value / std::sqrt(squares));
}

double Cosine(std::span<const float> a, std::span<const float> b) {
  if (a.size() != b.size()) return 0;
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += double{a[i]} * b[i];
  return sum;
}

}  // namespace quantfleet::engine
