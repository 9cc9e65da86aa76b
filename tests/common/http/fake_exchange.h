// An exchange without a server: what a handler did with it is there to be looked at.
#pragma once

#include <optional>

#include "common/http/exchange.h"

namespace quantfleet::http {

class FakeExchange final : public Exchange {
 public:
  explicit FakeExchange(Request request) : request_(std::move(request)) {}

  const Request& request() const override { return request_; }
  void Reply(Response response) override { reply = std::move(response); }
  void Begin(int status, Fields fields) override { reply = {status, std::move(fields)}; }
  void Pass(PassOn how) override { passed = std::move(how); }
  void Write(std::string bytes) override { reply->body += bytes; }
  void End() override { ended = true; }
  void OnLeft(std::function<void()> left) override { on_left = std::move(left); }
  void Post(std::function<void()> act) override { act(); }

  std::optional<Response> reply;  // the body of a stream too
  std::optional<PassOn> passed;
  std::function<void()> on_left;
  bool ended = false;

 private:
  const Request request_;
};

}  // namespace quantfleet::http
