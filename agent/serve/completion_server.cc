#include "agent/serve/completion_server.h"

#include <absl/strings/ascii.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/serve/completion.h"
#include "agent/serve/embeddings.h"
#include "agent/serve/forward.h"
#include "agent/serve/listen_address.h"
#include "agent/serve/reply.h"
#include "agent/serve/serve_metrics.h"
#include "common/http/router.h"
#include "common/http/server.h"

namespace quantfleet::agent {
namespace {

constexpr auto kLastAnswers = std::chrono::seconds(2);  // to go out at the end
constexpr uint32_t kMaxHeaderBytes = 16 << 10;
constexpr std::string_view kApi = "/v1/", kModels = "/v1/models/";

http::Response Missing(http::Router::Missing what) {
  if (what == http::Router::Missing::kMethod)
    return ErrorReply(ApiError{405, "invalid_request_error", "method_not_allowed",
                               "this path does not support that method"});
  return ErrorReply(ApiError{404, "invalid_request_error", "not_found",
                             "not found; the paths are /v1/completions, /v1/chat/completions, "
                             "/v1/embeddings, /v1/models, /health and /metrics"});
}

http::Response Refuse(const http::Refusal& refusal, const CompletionServer::Options& options) {
  using Kind = http::Refusal::Kind;
  const auto error = [](int http, const char* type, const char* code, std::string message) {
    return ErrorReply(ApiError{http, type, code, std::move(message)});
  };
  switch (refusal.kind) {
    case Kind::kNotHttp:
    case Kind::kCutShort:
      return error(400, "invalid_request_error", "bad_http", "not HTTP: " + refusal.detail);
    case Kind::kHeadTooLarge:
      return error(431, "invalid_request_error", "too_large",
                   fmt::format("the header exceeds {} bytes", kMaxHeaderBytes));
    case Kind::kBodyTooLarge:
      return error(400, "invalid_request_error", "too_large",
                   fmt::format("the body exceeds {} bytes", options.most_body_bytes));
    case Kind::kCrowded:
      return error(429, "rate_limit_error", "too_many_connections",
                   fmt::format("all {} connections are busy: close one and try again",
                               options.most_connections));
    case Kind::kFailed:
      break;
  }
  return error(500, "server_error", "internal", "the request could not be answered");
}

}  // namespace

struct CompletionServer::Impl {
  Impl(const Options& with, const Clock& clock_, Random& random_)
      : options(with),
        clock(clock_),
        random(random_),
        queue(with.queue),
        router(Routes(),
               {.before = [this](const http::ExchangePtr& exchange) { return Before(exchange); },
                .missing = Missing}) {}

  std::vector<http::Route> Routes();
  absl::Status Listen();
  void Shut();
  std::optional<ApiError> Objection(const http::Request& request) const;
  bool Before(const http::ExchangePtr& exchange);
  http::Response Model(const http::Request& request) const;
  int64_t Now() const { return ToUnixMillis(clock.Now()) / 1000; }
  ServeCounts Counts() const;

  const Options options;
  const Clock& clock;
  Random& random;
  ModelTable models;
  std::string endpoint;
  bool is_unix = false;
  std::atomic<uint64_t> cancelled{0};
  GenerationQueue queue;
  const http::Router router;
  std::unique_ptr<http::Server> server;  // ends first: it calls all the others
};

std::vector<http::Route> CompletionServer::Impl::Routes() {
  const CompletionWorld world{models, queue, clock, random, cancelled};
  const auto complete = [world](Endpoint kind) {
    return [world, kind](const http::ExchangePtr& exchange) { Complete(exchange, kind, world); };
  };
  const auto page = [](auto render) {
    return http::Page([render](const http::Request&) { return render(); });
  };
  return {
      {"GET", "/health", page([this] {
         const auto names = models.Names();
         return MakeReply(names.empty() ? 503 : 200, RenderHealth(names));
       })},
      {"GET", "/metrics", page([this] {
         return MakeReply(200, RenderMetrics(Counts()), "text/plain; version=0.0.4");
       })},
      {"GET", "/v1/models", page([this] { return MakeReply(200, RenderModels(models.List())); })},
      {"GET", std::string(kModels),
       http::Page([this](const http::Request& request) { return Model(request); })},
      {"POST", "/v1/completions", complete(Endpoint::kCompletions)},
      {"POST", "/v1/chat/completions", complete(Endpoint::kChatCompletions)},
      {"POST", "/v1/embeddings",
       [world](const http::ExchangePtr& exchange) { Embed(exchange, world); }},
  };
}

// What a page of elsewhere may have made a browser of this machine send, and bodies that are not
// read here; nullopt: neither.
std::optional<ApiError> CompletionServer::Impl::Objection(const http::Request& request) const {
  const auto error = [](int http, const char* code, const char* message) {
    return ApiError{http, "invalid_request_error", code, message};
  };
  if (!is_unix && !IsLocalHost(request.Field("Host")))
    return error(403, "foreign_host", "this endpoint accepts only local host names");
  if (!IsLocalOrigin(request.Field("Origin")))
    return error(403, "foreign_origin", "this endpoint does not serve web pages from elsewhere");
  if (request.method != "POST") return std::nullopt;
  // A page may send these two without asking first; curl's form type cannot be told from a habit.
  const std::string type = absl::AsciiStrToLower(ToAbsl(request.Field("Content-Type")));
  if (type.starts_with("text/plain") || type.starts_with("multipart/"))
    return error(403, "wrong_content_type", "send the body as Content-Type: application/json");
  const std::string_view encoding = request.Field("Content-Encoding");
  if (!encoding.empty() && encoding != "identity")
    return error(415, "encoded_body", "send the body without Content-Encoding");
  return std::nullopt;
}

// True where it has answered: what is refused whatever the path, and what another server answers.
bool CompletionServer::Impl::Before(const http::ExchangePtr& exchange) {
  const http::Request& request = exchange->request();
  if (const auto objection = Objection(request)) {
    exchange->Reply(ErrorReply(*objection));
    return true;
  }
  if (request.method != "POST" || !request.path().starts_with(kApi)) return false;
  const auto upstream = UpstreamFor(models, request);
  if (!upstream) return false;
  Forward(exchange, upstream, [this] { ++cancelled; });
  return true;
}

http::Response CompletionServer::Impl::Model(const http::Request& request) const {
  const auto found = models.Find(std::string(request.path().substr(kModels.size())));
  if (!found.ok()) return ErrorReply(found.status());
  return MakeReply(200, RenderModel(ModelTable::Served(*found)));
}

absl::Status CompletionServer::Impl::Listen() {
  QF_ASSIGN_OR_RETURN(const auto sockets, OpenListenSockets(options.listen));
  endpoint = sockets.front().endpoint;
  is_unix = sockets.front().family == AF_UNIX;
  http::Server::Options serve;
  serve.connections = {.most = options.most_connections,
                       .most_turned_away = options.most_connections,
                       .gives_way = true};
  serve.head_bytes = kMaxHeaderBytes;
  serve.body_bytes = options.most_body_bytes;
  serve.read_timeout = options.read_timeout;
  serve.write_timeout = options.write_timeout;
  serve.refuse = [this](const http::Refusal& refusal) { return Refuse(refusal, options); };
  QF_ASSIGN_OR_RETURN(
      server, http::Server::Make(std::move(serve), [this](const http::ExchangePtr& exchange) {
        router.Answer(exchange);
      }));
  absl::Status listening;
  for (const http::ListenSocket& socket : sockets) listening.Update(server->Listen(socket));
  return listening;
}

void CompletionServer::Impl::Shut() {
  if (!server) return;
  server->Drain();
  queue.Drain(options.most_drain);
  queue.Stop();
  // What came of the last generations goes out, as far as clients take it.
  server->Stop(kLastAnswers);
  if (is_unix) ::unlink(endpoint.substr(endpoint.find(':') + 1).c_str());
}

ServeCounts CompletionServer::Impl::Counts() const {
  const http::Server::Traffic traffic = server->traffic();
  ServeCounts now;
  now.version = options.version;
  now.models = models.Names().size();
  now.connections = traffic.connections.open;
  now.evicted = traffic.connections.gave_way;
  now.refused = traffic.connections.refused;
  now.cancelled = cancelled;
  now.requests = traffic.answers;
  now.queue = queue.counts();
  return now;
}

CompletionServer::CompletionServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
CompletionServer::~CompletionServer() { impl_->Shut(); }

absl::StatusOr<std::unique_ptr<CompletionServer>> CompletionServer::Start(const Options& options,
                                                                          const Clock& clock,
                                                                          Random& random) {
  auto impl = std::make_unique<Impl>(options, clock, random);
  QF_RETURN_IF_ERROR(impl->Listen());
  return std::unique_ptr<CompletionServer>(new CompletionServer(std::move(impl)));
}

std::string CompletionServer::endpoint() const { return impl_->endpoint; }
bool CompletionServer::plain_chat() const { return impl_->options.plain_chat; }

void CompletionServer::SetModel(const std::string& name, std::shared_ptr<engine::Engine> engine) {
  auto chat = std::make_shared<const text::ChatTemplate>(ChatTemplateOf(*engine, plain_chat()));
  impl_->models.Set({name, impl_->Now(), std::move(engine), nullptr, std::move(chat)});
}
void CompletionServer::SetModel(const std::string& name, std::shared_ptr<Upstream> upstream) {
  impl_->models.Set({name, impl_->Now(), nullptr, std::move(upstream), nullptr});
}
void CompletionServer::RemoveModel(const std::string& name) { impl_->models.Remove(name); }
std::vector<std::string> CompletionServer::models() const { return impl_->models.Names(); }

}  // namespace quantfleet::agent
