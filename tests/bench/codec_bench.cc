// Million elements per second on one core, per codec and direction:
//   codec_bench [--ggml=PATH/libggml-base.so] [Google Benchmark's options]
// Every codec runs as this machine's best twin ("best"), as each twin it can run, and as scalar
// code; with --ggml the same rows go through ggml's own quantizer in the same run, and the bytes
// are compared first.
#include <benchmark/benchmark.h>
#include <dlfcn.h>
#include <fmt/core.h>

#include <cstdlib>
#include <random>
#include <string_view>
#include <vector>

#include "common/base/bytes.h"
#include "pipeline/tensor/codecs.h"
#include "pipeline/tensor/simd.h"

namespace quantfleet::pipeline {
namespace {

constexpr DType kTypes[] = {DType::kF16,   DType::kBF16, DType::kQ8_0,   DType::kQ4_0,
                            DType::kQ4_1,  DType::kQ5_0, DType::kQ5_1,   DType::kQ4_K,
                            DType::kQ5_K,  DType::kQ6_K, DType::kIQ4_NL, DType::kIQ4_XS,
                            DType::kMXFP4, DType::kQ3_K, DType::kQ2_K,   DType::kIQ3_S};
constexpr int64_t kRows = 32, kCols = 3072;  // within a second-level cache

// ggml.h's own signatures.
using QuantizeChunk = size_t (*)(int type, const float* src, void* dst, int64_t start,
                                 int64_t nrows, int64_t n_per_row, const float* imatrix);
using ConvertRow = void (*)(const float* src, void* dst, int64_t n);

const std::vector<float>& Weights() {
  static const std::vector<float> weights = [] {
    std::mt19937_64 random(1);
    std::normal_distribution<float> normal(0.f, 0.02f);
    std::vector<float> values(static_cast<size_t>(kRows * kCols));
    for (float& v : values) v = normal(random);
    return values;
  }();
  return weights;
}

const std::vector<float>& Importance() {
  static const std::vector<float> importance = [] {
    std::mt19937_64 random(2);
    std::exponential_distribution<float> exponential;
    std::vector<float> values(static_cast<size_t>(kCols));
    for (float& v : values) v = exponential(random);
    return values;
  }();
  return importance;
}

Bytes BlocksOf(DType type) { return Bytes(static_cast<size_t>(kRows * RowBytes(type, kCols))); }

void Count(benchmark::State& state) {
  state.counters["Melem/s"] = benchmark::Counter(
      static_cast<double>(state.iterations() * kRows * kCols) / 1e6, benchmark::Counter::kIsRate);
}

void Register(std::string_view label, DType type, const Codec& codec) {
  const std::string name(Info(type).name);
  const auto encode = [&codec, type](const float* importance) {
    return [&codec, type, importance](benchmark::State& state) {
      Bytes blocks = BlocksOf(type);
      for (auto _ : state) {
        codec.encode(Weights().data(), kRows, kCols, importance, blocks.data());
        benchmark::ClobberMemory();
      }
      Count(state);
    };
  };
  benchmark::RegisterBenchmark(fmt::format("{}/encode/{}", name, label).c_str(), encode(nullptr));
  if (Info(type).weighs) {
    benchmark::RegisterBenchmark(fmt::format("{}/encode-importance/{}", name, label).c_str(),
                                 encode(Importance().data()));
  }
  benchmark::RegisterBenchmark(
      fmt::format("{}/decode/{}", name, label).c_str(), [&codec, type](benchmark::State& state) {
        Bytes blocks = BlocksOf(type);
        codec.encode(Weights().data(), kRows, kCols, nullptr, blocks.data());
        std::vector<float> values(Weights().size());
        for (auto _ : state) {
          codec.decode(blocks.data(), kRows * kCols, values.data());
          benchmark::ClobberMemory();
        }
        Count(state);
      });
}

struct Ggml {
  QuantizeChunk quantize;
  ConvertRow to_f16, to_bf16;

  void Encode(DType type, const float* importance, std::byte* out) const {
    if (type == DType::kF16) return to_f16(Weights().data(), out, kRows * kCols);
    if (type == DType::kBF16) return to_bf16(Weights().data(), out, kRows * kCols);
    quantize(static_cast<int>(type), Weights().data(), out, 0, kRows, kCols, importance);
  }
};

bool LoadGgml(const char* path, Ggml& ggml) {
  void* library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    fmt::print(stderr, "codec_bench: {}\n", dlerror());
    return false;
  }
  ggml.quantize = reinterpret_cast<QuantizeChunk>(dlsym(library, "ggml_quantize_chunk"));
  ggml.to_f16 = reinterpret_cast<ConvertRow>(dlsym(library, "ggml_fp32_to_fp16_row"));
  ggml.to_bf16 = reinterpret_cast<ConvertRow>(dlsym(library, "ggml_fp32_to_bf16_row"));
  return ggml.quantize != nullptr && ggml.to_f16 != nullptr && ggml.to_bf16 != nullptr;
}

bool SameBytes(const Ggml& ggml, DType type, const float* importance) {
  Bytes ours = BlocksOf(type), theirs = BlocksOf(type);
  FindCodec(type)->encode(Weights().data(), kRows, kCols, importance, ours.data());
  ggml.Encode(type, importance, theirs.data());
  if (ours == theirs) return true;
  fmt::print(stderr, "codec_bench: {} differs from ggml's bytes\n", Info(type).name);
  return false;
}

int Main(int argc, char** argv) {
  static Ggml ggml;
  bool with_ggml = false;
  int kept = 1;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument.starts_with("--ggml=")) {
      if (!LoadGgml(argv[i] + 7, ggml)) return 1;
      with_ggml = true;
    } else {
      argv[kept++] = argv[i];
    }
  }
  argc = kept;
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  for (DType type : kTypes) {
    Register("best", type, *FindCodec(type));
    if (with_ggml) {
      const auto encode = [type](const float* importance) {
        return [type, importance](benchmark::State& state) {
          Bytes blocks = BlocksOf(type);
          for (auto _ : state) {
            ggml.Encode(type, importance, blocks.data());
            benchmark::ClobberMemory();
          }
          Count(state);
        };
      };
      const bool weighable = Info(type).weighs;
      if (!SameBytes(ggml, type, nullptr) ||
          (weighable && !SameBytes(ggml, type, Importance().data())))
        return 1;
      const std::string name(Info(type).name);
      benchmark::RegisterBenchmark((name + "/encode/ggml").c_str(), encode(nullptr));
      if (weighable)
        benchmark::RegisterBenchmark((name + "/encode-importance/ggml").c_str(),
                                     encode(Importance().data()));
    }
    for (const NamedCodec& twin : SimdTwins(type)) Register(twin.name, type, *twin.codec);
    Register("scalar", type, *FindScalarCodec(type));
  }
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

}  // namespace
}  // namespace quantfleet::pipeline

int main(int argc, char** argv) { return quantfleet::pipeline::Main(argc, argv); }
