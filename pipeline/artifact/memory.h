// What a device needs to run an artifact: weights, the KV cache of the context that it runs, and
// buffers. The one place that adds these up: plans, manifests, rollouts and agents calculate here.
// Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "common/base/status.h"
#include "quantfleet/v1/manifest.pb.h"
#include "quantfleet/v1/trust.pb.h"

namespace quantfleet::pipeline {

// The tokens that a model runs with when nobody asks for another context, if it supports that many.
inline constexpr uint64_t kDefaultContext = 4096;

// In bytes. A sum that overflows is the largest number.
struct MemoryNeed {
  uint64_t context = 0;  // tokens
  std::string kv_type;   // what the cache holds
  uint64_t weights = 0, cache = 0, buffers = 0;

  uint64_t total() const;
};

// "2.1 GiB weights + 1.5 GiB cache (4096 tokens, f16) + 105.2 MiB buffers = 3.7 GiB"
std::string DescribeNeed(const MemoryNeed& need);

// The manifest's own terms. An older manifest without them has one sum for the model's whole
// context, whose length it does not give: then the cache per token is one that no usual model with
// this many parameters exceeds, and the need is never more than that sum.
v1::Memory MemoryOf(const v1::Manifest& manifest);

// The smaller of the model's own context and kDefaultContext.
uint64_t DefaultContext(const v1::Memory& memory);

// Whether a model answers differently with a context this long than with a short one (LongRoPE).
inline bool IsLong(const v1::Memory& memory, uint64_t context) {
  return memory.short_context() > 0 && context > memory.short_context();
}

// INVALID_ARGUMENT: the model supports fewer tokens, or what runs the format has no such cache; the
// message says what is possible. If the terms have no caches, none is counted. `context` 0: the
// default. `kv_type` empty: the runtime's default.
absl::StatusOr<MemoryNeed> NeedOf(const v1::Memory& memory, uint64_t context,
                                  std::string_view kv_type);

// The greatest number of tokens, up to `most`, that need at most `bytes`; above 256 it is a
// multiple of 256, as runtimes round up to one. 0: not even one fits. `kv_type` is one that the
// runtime has.
uint64_t LargestContext(const v1::Memory& memory, std::string_view kv_type, uint64_t bytes,
                        uint64_t most);

// The need of the longest context that `wish` and `bytes` allow: its tokens (0: the default), or
// fewer, down to min_tokens, where memory or the model requires that. INVALID_ARGUMENT as NeedOf;
// RESOURCE_EXHAUSTED: not even the least fits; the message has the terms, and the longest context
// that does fit.
absl::StatusOr<MemoryNeed> FitContext(const v1::Memory& memory, const v1::ContextPolicy& wish,
                                      uint64_t bytes);

// How a message about a need that exceeds the memory ends: with what would fit instead.
std::string WhatFits(const v1::Memory& memory, std::string_view kv_type, uint64_t bytes);

}  // namespace quantfleet::pipeline
