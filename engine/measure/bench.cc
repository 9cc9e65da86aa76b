#include "engine/measure/bench.h"

#include <algorithm>
#include <chrono>
#include <fstream>
#include <limits>
#include <new>
#include <random>

#include "engine/decode/runnable_model.h"
#include "pipeline/model/running_memory.h"

namespace quantfleet::engine {
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

// What getrusage tells is inherited over exec: the peak may be that of whoever started this.
int64_t PeakRss() {
  std::ifstream status("/proc/self/status");
  int64_t kib = 0;
  for (std::string word; status >> word;
       status.ignore(std::numeric_limits<std::streamsize>::max(), '\n'))
    if (word == "VmHWM:" && status >> kib) break;
  return kib << 10;
}

std::vector<int32_t> RandomIds(int64_t count, int64_t vocab) {
  std::mt19937_64 random(1);
  std::vector<int32_t> ids(static_cast<size_t>(count));
  for (int32_t& id : ids) id = static_cast<int32_t>(random() % static_cast<uint64_t>(vocab));
  return ids;
}

// Medians over the rounds. What lies in front is run once: the cache is only taken back to its end.
absl::StatusOr<RatesAt> Measure(Transformer& transformer, KvCache& cache,
                                std::span<const int32_t> ids, int64_t depth,
                                const BenchOptions& options) {
  const auto behind = ids.subspan(static_cast<size_t>(depth));
  const auto prompt = behind.first(static_cast<size_t>(options.prompt_tokens));
  std::vector<float> logits;
  cache.Reset();
  QF_RETURN_IF_ERROR(
      transformer.Run(cache, ids.first(static_cast<size_t>(depth)), Want::kNothing, logits));
  std::vector<double> prompt_rates, rates;
  for (int round = 0; round < options.rounds; ++round) {
    cache.Rewind(depth);
    const auto before_prompt = Clock::now();
    QF_RETURN_IF_ERROR(transformer.Run(cache, prompt, Want::kLast, logits));
    prompt_rates.push_back(static_cast<double>(options.prompt_tokens) / Seconds(before_prompt));
    cache.Rewind(depth);
    const auto before = Clock::now();
    for (int64_t i = 0; i < options.tokens; ++i)
      QF_RETURN_IF_ERROR(
          transformer.Run(cache, behind.subspan(static_cast<size_t>(i), 1), Want::kLast, logits));
    rates.push_back(static_cast<double>(options.tokens) / Seconds(before));
  }
  return RatesAt{depth, Median(prompt_rates), Median(rates)};
}

absl::StatusOr<BenchResult> Bench(const fs::path& gguf, const BenchOptions& options) {
  if (options.prompt_tokens < 1 || options.tokens < 1 || options.rounds < 1 ||
      options.rounds > 1000)
    return InvalidArgument("bench needs at least one token of each kind, and 1 to 1000 rounds");
  if (options.depths.empty() || std::ranges::min(options.depths) < 0)
    return InvalidArgument("depths must be at least 0 tokens");
  const auto start = Clock::now();
  QF_ASSIGN_OR_RETURN(RunnableModel model, RunnableModel::Load(gguf, options.engine));
  if (model.description.embedding)
    return InvalidArgument(
        "bench measures how fast a model generates text, and this is an embedding model");
  Transformer& transformer = *model.transformer;
  const int64_t deepest = std::ranges::max(options.depths);
  if (options.prompt_tokens > transformer.context() - options.tokens - deepest)
    return InvalidArgument("{} and {} tokens after {} exceed the context of {}: increase --context",
                           options.prompt_tokens, options.tokens, deepest, transformer.context());
  QF_ASSIGN_OR_RETURN(const auto cache,
                      model.MakeCache(deepest + options.prompt_tokens + options.tokens));
  const std::vector<int32_t> ids = RandomIds(cache->capacity(), model.description.hyper.vocab);
  std::vector<float> logits;
  QF_RETURN_IF_ERROR(transformer.Run(*cache, std::span(ids).first(1), Want::kLast, logits));
  BenchResult result;
  result.load_seconds = Seconds(start);
  for (const int64_t depth : options.depths) {
    QF_ASSIGN_OR_RETURN(const RatesAt rates, Measure(transformer, *cache, ids, depth, options));
    result.rates.push_back(rates);
  }
  result.cache_bytes =
      pipeline::CacheBytes(model.description.hyper, model.kv_type, transformer.context());
  const pipeline::EngineBuffers buffers = pipeline::BuffersOf(model.description.hyper);
  result.buffer_bytes = static_cast<int64_t>(
      buffers.fixed + buffers.per_token * static_cast<uint64_t>(transformer.context()));
  result.weight_bytes_per_token = model.weight_bytes;
  result.gigabytes_per_second =
      static_cast<double>(model.weight_bytes) * result.rates[0].tokens_per_second / 1e9;
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

}  // namespace quantfleet::engine
