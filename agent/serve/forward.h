// Requests for a model that another server answers for: they and their answers are passed on
// unchanged.
#pragma once

#include "agent/serve/model_table.h"
#include "agent/serve/upstream.h"
#include "common/http/exchange.h"

namespace quantfleet::agent {

// The server that answers the request, if it is not an engine; else null.
std::shared_ptr<Upstream> UpstreamFor(const ModelTable& models, const http::Request& request);

// `on_left`: the client left before the answer had ended.
void Forward(const http::ExchangePtr& exchange, const std::shared_ptr<Upstream>& upstream,
             std::function<void()> on_left);

}  // namespace quantfleet::agent
