// Which handler answers which path: a table. Thread-safe once it is filled.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "common/http/exchange.h"

namespace quantfleet::http {

struct Route {
  std::string method;  // "GET": also answers HEAD, where the router's options say so
  std::string path;    // ending in '/': for everything below it
  Handler handler;
};

// A handler that answers at once.
Handler Page(std::function<Response(const Request&)> page);

class Router {
 public:
  enum class Missing { kPath, kMethod };
  struct Options {
    bool head = false;  // whether HEAD is answered as GET is, without the body
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
