#include "pipeline/artifact/memory.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "common/base/bytes.h"
#include "pipeline/artifact/manifest.h"

namespace quantfleet::pipeline {
namespace {

constexpr uint64_t kAll = std::numeric_limits<uint64_t>::max();
constexpr uint64_t kContextStep = 256;

// Manifests come from outside: what is too large stays too large.
uint64_t Add(uint64_t a, uint64_t b) { return CheckedAdd(a, b).value_or(kAll); }
uint64_t Multiply(uint64_t a, uint64_t b) { return CheckedMul(a, b).value_or(kAll); }

std::string_view TypeOr(const v1::Memory& memory, std::string_view kv_type) {
  if (!kv_type.empty() || memory.caches().empty()) return kv_type;
  return memory.caches(0).type();
}

MemoryNeed Sum(const v1::Memory& memory, uint64_t context, std::string_view kv_type) {
  MemoryNeed need{
      .context = context, .kv_type = std::string(kv_type), .weights = memory.weights_bytes()};
  for (const v1::KvCache& cache : memory.caches()) {
    if (cache.type() != kv_type) continue;
    const uint64_t kept = cache.window() == 0 ? context : std::min(context, cache.window());
    need.cache = Add(need.cache, Multiply(cache.bytes_per_token(), kept));
  }
  need.buffers = Add(memory.buffer_bytes(), Multiply(memory.buffer_bytes_per_token(), context));
  return need;
}

// Multi-head attention, which keeps the most, in the proportions of published models (hidden size
// 80 to 100 times the layers, 12 weights per layer and squared hidden size): 4 bytes x layers x
// hidden size is at most p^(2/3) / 5.
uint64_t MostCachePerToken(uint64_t parameters) {
  return static_cast<uint64_t>(std::pow(static_cast<double>(parameters), 2.0 / 3) / 5) + 1;
}

}  // namespace

uint64_t MemoryNeed::total() const { return Add(Add(weights, cache), buffers); }

std::string DescribeNeed(const MemoryNeed& need) {
  if (need.kv_type.empty())
    return fmt::format("{}", HumanBytes(need.total()));  // terms without a cache
  return fmt::format("{} weights + {} cache ({} tokens, {}) + {} buffers = {}",
                     HumanBytes(need.weights), HumanBytes(need.cache), need.context, need.kv_type,
                     HumanBytes(need.buffers), HumanBytes(need.total()));
}

v1::Memory MemoryOf(const v1::Manifest& manifest) {
  const v1::Requirements& requirements = manifest.requirements();
  if (requirements.has_memory()) return requirements.memory();
  v1::Memory memory;
  memory.set_weights_bytes(ArtifactBytes(manifest));
  if (requirements.memory_bytes() <= memory.weights_bytes()) return memory;
  const uint64_t whole = requirements.memory_bytes() - memory.weights_bytes();
  const uint64_t parameters = manifest.source().parameters();
  const uint64_t per_token =
      parameters > 0 ? std::min(MostCachePerToken(parameters), whole) : whole;
  // In 32nds of what F16 takes.
  for (const auto& [type, size] :
       {std::pair("f16", 32), std::pair("q8_0", 17), std::pair("f32", 64)}) {
    v1::KvCache& cache = *memory.add_caches();
    cache.set_type(type);
    cache.set_bytes_per_token(
        parameters == 0
            ? per_token
            : std::max<uint64_t>(1, Multiply(per_token, static_cast<uint64_t>(size)) / 32));
    cache.set_window(std::max<uint64_t>(1, whole / per_token));
  }
  return memory;
}

uint64_t DefaultContext(const v1::Memory& memory) {
  return memory.model_context() == 0 ? kDefaultContext
                                     : std::min(memory.model_context(), kDefaultContext);
}

absl::StatusOr<MemoryNeed> NeedOf(const v1::Memory& memory, uint64_t context,
                                  std::string_view kv_type) {
  if (context == 0) context = DefaultContext(memory);
  if (memory.model_context() != 0 && context > memory.model_context())
    return InvalidArgument("a context of {} tokens exceeds the model's maximum of {}", context,
                           memory.model_context());
  const std::string_view type = TypeOr(memory, kv_type);
  if (!memory.caches().empty() &&
      std::ranges::find(memory.caches(), type, &v1::KvCache::type) == memory.caches().end()) {
    std::string known;
    for (const v1::KvCache& cache : memory.caches())
      if (known.find(cache.type()) == std::string::npos)
        known += (known.empty() ? "" : ", ") + cache.type();
    return InvalidArgument(
        "a KV cache of type {} is not supported here; the supported types are: {}", type, known);
  }
  return Sum(memory, context, type);
}

uint64_t LargestContext(const v1::Memory& memory, std::string_view kv_type, uint64_t bytes,
                        uint64_t most) {
  const std::string_view type = TypeOr(memory, kv_type);
  const auto fits = [&](uint64_t context) { return Sum(memory, context, type).total() <= bytes; };
  if (memory.model_context() != 0) most = std::min(most, memory.model_context());
  if (most == 0 || fits(most)) return most;
  uint64_t least = 0;  // fits, if anything does; `most` does not
  while (most - least > 1) {
    const uint64_t middle = least + (most - least) / 2;
    (fits(middle) ? least : most) = middle;
  }
  return least < kContextStep ? least : least / kContextStep * kContextStep;
}

absl::StatusOr<MemoryNeed> FitContext(const v1::Memory& memory, const v1::ContextPolicy& wish,
                                      uint64_t bytes) {
  uint64_t tokens = wish.tokens() == 0 ? DefaultContext(memory) : wish.tokens();
  const uint64_t least = wish.min_tokens() == 0 ? tokens : std::min(wish.min_tokens(), tokens);
  if (memory.model_context() != 0 && least <= memory.model_context())
    tokens = std::min(tokens, memory.model_context());
  QF_ASSIGN_OR_RETURN(const MemoryNeed need, NeedOf(memory, tokens, wish.kv_type()));
  if (need.total() <= bytes) return need;
  uint64_t most = LargestContext(memory, wish.kv_type(), bytes, tokens);
  // Rounding must not take away what is enough.
  if (most < least && Sum(memory, least, need.kv_type).total() <= bytes) most = least;
  if (most < least || most == 0)
    return ResourceExhausted("needs {}, but only {} is available; {}", DescribeNeed(need),
                             HumanBytes(bytes), WhatFits(memory, wish.kv_type(), bytes));
  return NeedOf(memory, most, wish.kv_type());
}

std::string WhatFits(const v1::Memory& memory, std::string_view kv_type, uint64_t bytes) {
  const uint64_t most = LargestContext(memory, kv_type, bytes, kAll);
  return most == 0 ? "no context fits"
                   : fmt::format("the largest context that fits is {} tokens", most);
}

}  // namespace quantfleet::pipeline
