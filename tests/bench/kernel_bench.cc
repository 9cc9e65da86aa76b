// Billions of multiply-adds per second on one core, per element type, set of kernels and number of
// tokens: kernel_bench [Google Benchmark's options]. "decoded" is what the engine does where a set
// has nothing for the type: each row is decoded and multiplied as floats.
#include <benchmark/benchmark.h>
#include <fmt/core.h>

#include <cmath>
#include <random>
#include <vector>

#include "engine/kernels/matrix_ops.h"
#include "engine/kernels/vector_ops.h"
#include "pipeline/tensor/codec.h"

namespace quantfleet::engine {
namespace {

using pipeline::DType;

constexpr int64_t kRows = 256, kCols = 2048;  // within a second-level cache

std::vector<std::byte> Blocks(const pipeline::DTypeInfo& info) {
  std::mt19937_64 random(1);
  std::vector<std::byte> blocks(static_cast<size_t>(kRows * RowBytes(info.type, kCols)));
  const auto size = static_cast<size_t>(info.block_bytes);
  std::vector<float> values(static_cast<size_t>(info.block_elements));
  for (size_t at = 0; at < blocks.size(); at += size) {
    bool good = false;
    while (!good) {
      for (size_t i = at; i < at + size; ++i) blocks[i] = static_cast<std::byte>(random());
      info.codec->decode(blocks.data() + at, info.block_elements, values.data());
      good = true;
      for (const float v : values) good = good && std::fabs(v) < 10.f;
    }
  }
  return blocks;
}

// Tokens of activations, as floats and as integers.
struct Batch {
  Batch(const MatrixOps& ops, int64_t tokens)
      : values(static_cast<size_t>(tokens * kCols)),
        codes(values.size()),
        scales(values.size() / kActivationBlock),
        sums(scales.size()),
        half_sums(2 * scales.size()) {
    std::mt19937_64 random(2);
    std::normal_distribution<float> normal;
    for (float& v : values) v = normal(random);
    for (int64_t t = 0; t < tokens; ++t) {
      const int64_t at = t * kCols, block = at / kActivationBlock;
      ops.quantize(values.data() + at, kCols, codes.data() + at, scales.data() + block,
                   sums.data() + block, half_sums.data() + 2 * block);
      rows.push_back({values.data() + at, codes.data() + at, scales.data() + block,
                      sums.data() + block, half_sums.data() + 2 * block});
    }
  }
  std::vector<float> values;
  std::vector<int8_t> codes;
  std::vector<float> scales, sums, half_sums;
  std::vector<ActivationRow> rows;
};

template <class Multiply>
void Register(std::string_view set, const pipeline::DTypeInfo& info, const MatrixOps& ops,
              int64_t tokens, const Multiply& multiply) {
  const auto run = [&info, &ops, tokens, multiply](benchmark::State& state) {
    const std::vector<std::byte> blocks = Blocks(info);
    const Batch batch(ops, tokens);
    std::vector<float> y(static_cast<size_t>(tokens * kRows));
    for (auto _ : state) {
      multiply(blocks.data(), RowBytes(info.type, kCols), batch, y.data());
      benchmark::ClobberMemory();
    }
    state.counters["Gmac/s"] =
        benchmark::Counter(static_cast<double>(state.iterations() * kRows * kCols * tokens) / 1e9,
                           benchmark::Counter::kIsRate);
  };
  benchmark::RegisterBenchmark(fmt::format("{}/{}/{}", info.name, tokens, set).c_str(), run);
}

void Multiplied(const pipeline::DTypeInfo& info, const MatrixOps& ops, int64_t tokens) {
  const MultiplyRows multiply = ops.multiply(info.type);
  if (multiply == nullptr) return;
  Register(ops.name, info, ops, tokens,
           [multiply](const std::byte* blocks, int64_t row_bytes, const Batch& batch, float* y) {
             multiply(blocks, row_bytes, kRows, kCols, batch.rows, y, kRows);
           });
}

void Decoded(const pipeline::DTypeInfo& info, int64_t tokens) {
  const VectorOps& ops = ChosenOps();
  Register("decoded", info, ChosenMatrixOps(), tokens,
           [&ops, type = info.type](const std::byte* blocks, int64_t row_bytes, const Batch& batch,
                                    float* y) {
             std::vector<float> row(kCols);
             for (int64_t r = 0; r < kRows; ++r) {
               if (batch.rows.size() == 1) {
                 y[r] = ops.row_dot(type)(blocks + r * row_bytes, batch.rows[0].values, kCols);
                 continue;
               }
               ops.row_decode(type)(blocks + r * row_bytes, kCols, row.data());
               for (size_t t = 0; t < batch.rows.size(); ++t)
                 y[t * kRows + static_cast<size_t>(r)] =
                     ops.dot(row.data(), batch.rows[t].values, kCols);
             }
           });
}

}  // namespace
}  // namespace quantfleet::engine

int main(int argc, char** argv) {
  using namespace quantfleet::engine;
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  for (const quantfleet::pipeline::DTypeInfo& info : quantfleet::pipeline::kDTypes) {
    if (!info.ggml) continue;  // other runtimes' groups
    for (const int64_t tokens : {1, 32}) {
      for (const MatrixOps* ops : AllMatrixOps())
        if (ops != &ScalarMatrixOps()) Multiplied(info, *ops, tokens);
      Decoded(info, tokens);
    }
  }
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
