// One request for embeddings: from what a client posts to its answer.
#pragma once

#include "agent/serve/completion.h"
#include "common/http/exchange.h"

namespace quantfleet::agent {

// Called on the server's thread.
void Embed(const http::ExchangePtr& exchange, const CompletionWorld& world);

}  // namespace quantfleet::agent
