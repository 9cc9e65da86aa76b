#include "agent/runtime/attention.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace quantfleet::agent {
namespace {

constexpr int64_t kPositions = 256;  // whose values are turned at a time

// Scores become weights that add up to one.
void Softmax(float* scores, int64_t count, float scale) {
  float most = -INFINITY;
  for (int64_t p = 0; p < count; ++p) most = std::max(most, scores[p] *= scale);
  float sum = 0;
  for (int64_t p = 0; p < count; ++p) sum += scores[p] = std::exp(scores[p] - most);
  for (int64_t p = 0; p < count; ++p) scores[p] /= sum;
}

float Scale(const HeadCache& cache) { return 1.f / std::sqrt(static_cast<float>(cache.dim)); }

}  // namespace

void AttendAlone(const VectorOps& ops, const HeadCache& cache, const float* query, int64_t reach,
                 std::vector<float>& scores, float* out) {
  scores.resize(static_cast<size_t>(reach));
  for (int64_t p = 0; p < reach; ++p) scores[p] = ops.dot(query, cache.keys + p * cache.dim, cache.dim);
  Softmax(scores.data(), reach, Scale(cache));
  std::fill_n(out, cache.dim, 0.f);
  for (int64_t p = 0; p < reach; ++p) ops.axpy(scores[p], cache.values + p * cache.dim, out, cache.dim);
}

void AttendTogether(MultiplyRows multiply, const HeadCache& cache, const float* queries, int64_t rows, int64_t stride,
                    int64_t reach, std::vector<float>& scores, float* out) {
  const int64_t dim = cache.dim, widest = reach + rows - 1;
  const auto row_bytes = [](int64_t cols) { return cols * static_cast<int64_t>(sizeof(float)); };
  std::array<ActivationRow, kMostTogether> x{};
  const std::span<const ActivationRow> batch(x.data(), static_cast<size_t>(rows));

  scores.resize(static_cast<size_t>(rows * widest));
  for (int64_t i = 0; i < rows; ++i) x[i].values = queries + i * stride;
  multiply(reinterpret_cast<const std::byte*>(cache.keys), row_bytes(dim), widest, dim, batch, scores.data(), widest);
  for (int64_t i = 0; i < rows; ++i) {
    float* own = scores.data() + i * widest;
    Softmax(own, reach + i, Scale(cache));
    std::fill(own + reach + i, own + widest, 0.f);  // what comes later is not seen
    std::fill_n(out + i * stride, dim, 0.f);
  }

  // A product wants rows: of each dimension over the positions.
  std::vector<float> turned(static_cast<size_t>(dim * kPositions)), part(static_cast<size_t>(rows * dim));
  for (int64_t begin = 0; begin < widest; begin += kPositions) {
    const int64_t count = std::min(kPositions, widest - begin);
    for (int64_t p = 0; p < count; ++p) {
      for (int64_t d = 0; d < dim; ++d) turned[d * count + p] = cache.values[(begin + p) * dim + d];
    }
    for (int64_t i = 0; i < rows; ++i) x[i].values = scores.data() + i * widest + begin;
    multiply(reinterpret_cast<const std::byte*>(turned.data()), row_bytes(count), dim, count, batch, part.data(), dim);
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t d = 0; d < dim; ++d) out[i * stride + d] += part[i * dim + d];
    }
  }
}

}  // namespace quantfleet::agent
