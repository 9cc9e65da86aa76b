// One completion: from what a client posts to its answer, in one piece or as a stream of events.
#pragma once

#include <atomic>

#include "agent/serve/generation_queue.h"
#include "agent/serve/model_table.h"
#include "agent/serve/openai.h"
#include "common/base/clock.h"
#include "common/base/random.h"
#include "common/http/exchange.h"

namespace quantfleet::agent {

// What completions share. Outlives them.
struct CompletionWorld {
  const ModelTable& models;
  GenerationQueue& queue;
  const Clock& clock;
  Random& random;
  std::atomic<uint64_t>& cancelled;  // counts generations whose client left
};

// Puts the generation into the queue, or replies why it cannot be there; who leaves cancels it.
void Enqueue(const http::ExchangePtr& exchange, const std::shared_ptr<Generation>& generation,
             const CompletionWorld& world);

// Called on the server's thread, the only one that uses `world.random`.
void Complete(const http::ExchangePtr& exchange, Endpoint endpoint, const CompletionWorld& world);

}  // namespace quantfleet::agent
