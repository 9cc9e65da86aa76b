// How fast a model runs on this machine.
#pragma once

#include "engine/decode/engine.h"

namespace quantfleet::engine {

struct BenchOptions {
  EngineOptions engine;
  int64_t prompt_tokens = 128, tokens = 32;  // of one round
  int rounds = 3;
  // Tokens that are in the cache before either is measured, one measurement for each.
  std::vector<int64_t> depths = {0};
};

struct RatesAt {
  int64_t depth = 0;
  double prompt_tokens_per_second = 0, tokens_per_second = 0;
};

// Rates are medians over the rounds.
struct BenchResult {
  double load_seconds =
      0;  // from opening the file until the first token is out, without the rounds
  std::vector<RatesAt> rates;          // as BenchOptions::depths has them
  int64_t weight_bytes_per_token = 0;  // of the file, that one token's pass reads
  double gigabytes_per_second = 0;     // at which generation reads them (10^9), at the first depth
  int64_t peak_rss_bytes = 0;          // of this process (VmHWM), the mapped file included
  int64_t cache_bytes = 0, buffer_bytes = 0;  // that the whole context takes beside the file
  std::string instruction_set;                // that the products use
  int threads = 0;
};

// Random ids, the same each time: no tokenizer is needed. INVALID_ARGUMENT for options out of
// range.
absl::StatusOr<BenchResult> BenchModel(const fs::path& gguf, const BenchOptions& options);

}  // namespace quantfleet::engine
