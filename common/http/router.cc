#include "common/http/router.h"

namespace quantfleet::http {
namespace {

bool IsOf(std::string_view path, const Route& route) {
  return route.path.ends_with('/') ? path.starts_with(route.path) : path == route.path;
}

}  // namespace

Handler Page(std::function<Response(const Request&)> page) {
  return [page = std::move(page)](const ExchangePtr& exchange) {
    exchange->Reply(page(exchange->request()));
  };
}

Router::Router(std::vector<Route> routes, Options options)
    : routes_(std::move(routes)), options_(std::move(options)) {}

void Router::Answer(const ExchangePtr& exchange) const {
  if (options_.before && options_.before(exchange)) return;
  const Request& request = exchange->request();
  const bool head = options_.head && request.method == "HEAD";
  const std::string_view method = head ? std::string_view("GET") : request.method;
  bool known = false;
  for (const Route& route : routes_) {
    if (!IsOf(request.path(), route)) continue;
    if (route.method == method) return route.handler(exchange);
    known = true;
  }
  exchange->Reply(options_.missing(known ? Missing::kMethod : Missing::kPath));
}

}  // namespace quantfleet::http
