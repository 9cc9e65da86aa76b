// What a calibration's pass costs beside reading the same tokens as a plain prompt.
//
//   calibration_bench MODEL.gguf [CHUNKS]
//
// Runs a prompt of 512 tokens at a time through the model, then the pass without and with second
// moments, in turns, and prints processor seconds, which other programs do not lengthen, and the
// pass's share of the prompt's.

#include <sys/resource.h>

#include <cstdlib>
#include <iostream>
#include <random>

#include "engine/calibrate/layer_pass.h"

namespace {

using namespace quantfleet;  // NOLINT

constexpr int64_t kChunk = 512;

double ProcessorSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

template <typename Work>
double Timed(Work work) {
  const double start = ProcessorSeconds();
  const absl::Status status = work();
  if (!status.ok()) {
    std::cerr << "calibration_bench: " << Message(status) << "\n";
    std::exit(1);
  }
  return ProcessorSeconds() - start;
}

absl::Status Prompts(engine::RunnableModel& model, std::span<const int32_t> tokens) {
  std::vector<float> none;
  for (size_t at = 0; at < tokens.size(); at += kChunk) {
    QF_ASSIGN_OR_RETURN(const auto cache, model.MakeCache(kChunk));
    QF_RETURN_IF_ERROR(model.transformer->Run(*cache, tokens.subspan(at, kChunk),
                                              engine::Transformer::Want::kNothing, none));
  }
  return absl::OkStatus();
}

absl::Status Pass(engine::RunnableModel& model, std::span<const int32_t> tokens, bool moments) {
  engine::LayerPass pass(model, {.chunk = kChunk, .second_moments = moments});
  QF_RETURN_IF_ERROR(pass.Begin(tokens));
  for (int layer = 0; layer < model.description.hyper.layers; ++layer)
    QF_RETURN_IF_ERROR(pass.Run(layer).status());
  return absl::OkStatus();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::cerr << "usage: calibration_bench MODEL.gguf [CHUNKS]\n";
    return 2;
  }
  auto model = engine::RunnableModel::Load(
      argv[1], {.context = kChunk, .kv_type = pipeline::DType::kF32, .text = false});
  if (!model.ok()) {
    std::cerr << "calibration_bench: " << Message(model.status()) << "\n";
    return 1;
  }
  std::mt19937 random(1);
  std::vector<int32_t> tokens(static_cast<size_t>(kChunk * (argc > 2 ? std::atoi(argv[2]) : 4)));
  for (int32_t& token : tokens)
    token = static_cast<int32_t>(random() % static_cast<uint32_t>(model->description.hyper.vocab));
  for (int round = 0; round < 3; ++round) {
    const double plain = Timed([&] { return Prompts(*model, tokens); }),
                 sums = Timed([&] { return Pass(*model, tokens, false); }),
                 moments = Timed([&] { return Pass(*model, tokens, true); });
    fmt::print(
        "{} tokens: prompt {:.2f} s, pass {:.2f} s ({:.2f}), with second moments {:.2f} s "
        "({:.2f})\n",
        tokens.size(), plain, sums, sums / plain, moments, moments / plain);
  }
  return 0;
}
