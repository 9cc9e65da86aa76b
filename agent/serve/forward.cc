#include "agent/serve/forward.h"

#include "agent/serve/listen_address.h"
#include "agent/serve/openai.h"
#include "agent/serve/reply.h"

namespace quantfleet::agent {
namespace {

constexpr auto kConnect = std::chrono::seconds(2);

// The request as passed on to the other server, over a connection of its own.
std::string ForwardText(const http::Request& request) {
  http::Fields fields = {{"Host", "localhost"}};
  for (const char* name : {"Content-Type", "Accept", "Authorization"})
    if (const std::string_view value = request.Field(name); !value.empty())
      fields.emplace_back(name, std::string(value));
  fields.emplace_back("Content-Length", std::to_string(request.body.size()));
  fields.emplace_back("Connection", "close");
  return http::RequestText(request.method, request.target, fields, request.body);
}

}  // namespace

std::shared_ptr<Upstream> UpstreamFor(const ModelTable& models, const http::Request& request) {
  if (!models.HasUpstream()) return nullptr;
  const auto found = models.Find(ModelIn(request.body));
  return found.ok() ? found->upstream : nullptr;
}

void Forward(const http::ExchangePtr& exchange, const std::shared_ptr<Upstream>& upstream,
             std::function<void()> on_left) {
  const auto parsed = ParseListenAddress(upstream->address());
  if (!parsed.ok())
    return exchange->Reply(
        ErrorReply(ApiError{503, "server_error", "unavailable",
                            "this model's runtime is restarting: try again later"}));
  exchange->Pass({.to = http::ToSocketAddress(*parsed),
                  .request = ForwardText(exchange->request()),
                  .fields = {"Content-Type", "Cache-Control", "Retry-After"},
                  .connect_time = kConnect,
                  .on_failure =
                      [](const std::string& why) {
                        return ErrorReply(ApiError{502, "server_error", "runtime_failed",
                                                   "this model's runtime did not answer: " + why});
                      },
                  .on_left = std::move(on_left),
                  .held = std::make_shared<Upstream::Use>(upstream)});
}

}  // namespace quantfleet::agent
