// Requests for a model that another server answers for: they go to that server as they are, and its
// answers come back as they are.
#pragma once

#include "agent/serve/model_table.h"
#include "agent/serve/upstream.h"
#include "common/http/exchange.h"

namespace quantfleet::agent {

// Who answers what is posted, where that is no engine; else null.
std::shared_ptr<Upstream> UpstreamFor(const ModelTable& models, const http::Request& request);

// `on_left`: the client left before the answer had ended.
void Forward(const http::ExchangePtr& exchange, const std::shared_ptr<Upstream>& upstream,
             std::function<void()> on_left);

}  // namespace quantfleet::agent
