#include "agent/runtime/bench.h"

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <new>
#include <random>

#include "agent/runtime/runnable_model.h"

namespace quantfleet::agent {
namespace {

using Clock = std::chrono::steady_clock;
using Want = Transformer::Want;

double Seconds(Clock::time_point since) {
  return std::chrono::duration<double>(Clock::now() - since).count();
}

double Median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

int64_t PeakRss() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return int64_t{usage.ru_maxrss} * 1024;
}

std::vector<int32_t> RandomIds(int64_t count, int64_t vocab) {
  std::mt19937_64 random(1);
  std::vector<int32_t> ids(static_cast<size_t>(count));
  for (int32_t& id : ids) id = static_cast<int32_t>(random() % static_cast<uint64_t>(vocab));
  return ids;
}

absl::StatusOr<BenchResult> Bench(const fs::path& gguf, const BenchOptions& options) {
  if (options.prompt_tokens < 1 || options.tokens < 1 || options.rounds < 1 || options.rounds > 1000)
    return InvalidArgument("a bench takes at least one token of each kind, and 1 to 1000 rounds");
  const auto start = Clock::now();
  QF_ASSIGN_OR_RETURN(RunnableModel model, RunnableModel::Load(gguf, options.engine));
  Transformer& transformer = *model.transformer;
  if (options.prompt_tokens > transformer.context() - options.tokens)
    return InvalidArgument("{} and {} tokens exceed the context of {}", options.prompt_tokens, options.tokens,
                           transformer.context());
  const std::vector<int32_t> ids =
      RandomIds(options.prompt_tokens + options.tokens, model.description.hyper.vocab);
  const auto prompt = std::span(ids).first(static_cast<size_t>(options.prompt_tokens));
  std::vector<float> logits;
  QF_RETURN_IF_ERROR(transformer.Run(std::span(ids).first(1), Want::kLast, logits));
  BenchResult result;
  result.load_seconds = Seconds(start);

  std::vector<double> prompt_rates, rates;
  for (int round = 0; round < options.rounds; ++round) {
    transformer.Reset();
    const auto before_prompt = Clock::now();
    QF_RETURN_IF_ERROR(transformer.Run(prompt, Want::kLast, logits));
    prompt_rates.push_back(static_cast<double>(options.prompt_tokens) / Seconds(before_prompt));
    const auto before = Clock::now();
    for (size_t i = prompt.size(); i < ids.size(); ++i)
      QF_RETURN_IF_ERROR(transformer.Run(std::span(ids).subspan(i, 1), Want::kLast, logits));
    rates.push_back(static_cast<double>(options.tokens) / Seconds(before));
  }
  result.prompt_tokens_per_second = Median(prompt_rates);
  result.tokens_per_second = Median(rates);
  result.weight_bytes_per_token = model.weight_bytes;
  result.gigabytes_per_second = static_cast<double>(model.weight_bytes) * result.tokens_per_second / 1e9;
  result.peak_rss_bytes = PeakRss();
  result.instruction_set = options.engine.float_activations ? "float" : ChosenMatrixOps().name;
  result.threads = model.pool->threads();
  return result;
}

}  // namespace

absl::StatusOr<BenchResult> BenchModel(const fs::path& gguf, const BenchOptions& options) {
  try {
    return Bench(gguf, options);
  } catch (const std::bad_alloc&) {
    return ResourceExhausted("{}: not enough memory to run it", gguf.string());
  }
}

}  // namespace quantfleet::agent
