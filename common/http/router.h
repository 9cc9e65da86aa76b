// Which handler answers which path: a table. Thread-safe once it is filled.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "common/http/exchange.h"

namespace quantfleet::http {

struct Route {
  std::string method;  // "GET" answers HEAD too
  std::string path;    // ending in '/': for everything below it
  Handler handler;
};

// A handler that answers at once.
Handler Page(std::function<Response(const Request&)> page);

// OPTIONS, and a method that a path does not support, are answered with the path's methods under
// Allow (RFC 9110, 9.3.7 and 15.5.6).
class Router {
 public:
  enum class Missing { kPath, kMethod };
  struct Options {
    // Called before any route is looked for: returns true when it has answered.
    std::function<bool(const ExchangePtr&)> before = nullptr;
    std::function<Response(Missing)> missing;
  };

  Router(std::vector<Route> routes, Options options);

  void Answer(const ExchangePtr& exchange) const;
  const std::vector<Route>& routes() const { return routes_; }

 private:
  const std::vector<Route> routes_;
  const Options options_;
};

}  // namespace quantfleet::http
