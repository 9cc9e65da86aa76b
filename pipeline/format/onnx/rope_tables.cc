#include "pipeline/format/onnx/rope_tables.h"

#include <cmath>

namespace quantfleet::pipeline {

RopeTables MakeRopeTables(const Hyperparameters& h, int64_t positions,
                          const std::vector<double>& factors, double factor, double magnitude) {
  const int64_t pairs = h.rope_dims / 2;
  RopeTables tables;
  tables.cos.reserve(static_cast<size_t>(positions * pairs));
  tables.sin.reserve(static_cast<size_t>(positions * pairs));
  std::vector<double> frequencies;
  for (int64_t i = 0; i < pairs; ++i) {
    const double exponent = -2.0 * static_cast<double>(i) / static_cast<double>(h.rope_dims);
    const double divisor = factors.empty() ? factor : factors[static_cast<size_t>(i)];
    frequencies.push_back(std::pow(static_cast<double>(h.rope_theta), exponent) / divisor);
  }
  for (int64_t p = 0; p < positions; ++p)
    for (const double frequency : frequencies) {
      const double angle = static_cast<double>(p) * frequency;
      tables.cos.push_back(static_cast<float>(std::cos(angle) * magnitude));
      tables.sin.push_back(static_cast<float>(std::sin(angle) * magnitude));
    }
  return tables;
}

}  // namespace quantfleet::pipeline
