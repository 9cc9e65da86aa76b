#include "common/http/router.h"

#include <set>

namespace quantfleet::http {
namespace {

bool IsOf(std::string_view path, const Route& route) {
  return route.path.ends_with('/') ? path.starts_with(route.path) : path == route.path;
}

// "GET, HEAD, OPTIONS" of one path, or of all (`path` "*"); empty: no such path.
std::string MethodsOf(const std::vector<Route>& routes, std::string_view path) {
  std::set<std::string_view> methods;
  for (const Route& route : routes)
    if (path == "*" || IsOf(path, route)) methods.insert(route.method);
  if (methods.empty()) return {};
  if (methods.contains("GET")) methods.insert("HEAD");
  methods.insert("OPTIONS");
  std::string joined;
  for (const std::string_view method : methods)
    joined += fmt::format("{}{}", joined.empty() ? "" : ", ", method);
  return joined;
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
  const std::string_view method =
      request.method == "HEAD" ? "GET" : std::string_view(request.method);
  for (const Route& route : routes_)
    if (route.method == method && IsOf(request.path(), route)) return route.handler(exchange);
  std::string methods = MethodsOf(routes_, request.path());
  if (methods.empty()) return exchange->Reply(options_.missing(Missing::kPath));
  Response response =
      method == "OPTIONS" ? Response{.status = 204} : options_.missing(Missing::kMethod);
  response.fields.emplace_back("Allow", std::move(methods));
  exchange->Reply(std::move(response));
}

}  // namespace quantfleet::http
