#include "daemon/web/http_server.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "common/http/router.h"
#include "common/http/server.h"
#include "daemon/web/answer.h"

namespace quantfleet::daemon {
namespace {

constexpr char kServerName[] = "quantfleet/" QUANTFLEET_VERSION;

// As sent over the wire, except for what the server adds.
http::Response ToResponse(Answer answer) {
  http::Response response;
  response.status = answer.status;
  response.fields = {{"Server", kServerName}, {"Content-Type", answer.type}};
  const auto add = [&response](const char* name, std::string value) {
    response.fields.emplace_back(name, std::move(value));
  };
  if (!answer.etag.empty()) {
    add("ETag", answer.etag);
    add("Accept-Ranges", "bytes");
    add("Cache-Control", "public, max-age=31536000, immutable");
  } else {
    add("Cache-Control", "no-store");
  }
  if (answer.status == 405) add("Allow", "GET, HEAD");
  if (answer.status == 416) add("Content-Range", fmt::format("bytes */{}", answer.size));
  if (answer.status == 206)
    add("Content-Range",
        fmt::format("bytes {}-{}/{}", answer.first, answer.first + answer.length - 1, answer.size));
  response.body = std::move(answer.body);
  if (answer.blob) {
    response.source_size = answer.length;
    response.source = [blob = std::shared_ptr<pipeline::BlobReader>(std::move(answer.blob))](
                          MutableBytes part) { return blob->Read(part); };
  }
  return response;
}

std::optional<http::Response> Refuse(const http::Refusal& refusal) {
  using Kind = http::Refusal::Kind;
  switch (refusal.kind) {
    case Kind::kBodyTooLarge:
      return ToResponse(TextAnswer(413, "requests must not have a body"));
    case Kind::kHeadTooLarge:
      return ToResponse(TextAnswer(431, "the request's header is too large"));
    case Kind::kNotHttp:
      return ToResponse(TextAnswer(400, "not an HTTP request"));
    case Kind::kFailed:
      return ToResponse(TextAnswer(500, "internal error"));
    case Kind::kCutShort:
    case Kind::kCrowded:
      break;
  }
  return std::nullopt;
}

}  // namespace

struct HttpServer::Impl {
  Impl(const pipeline::BlobStore& blobs_in, Options options_in, Handlers handlers_in)
      : blobs(blobs_in),
        options(std::move(options_in)),
        handlers(std::move(handlers_in)),
        router(Routes(), {.missing = Missing}) {}

  std::vector<http::Route> Routes();
  absl::Status Listen();
  static http::Response Missing(http::Router::Missing what) {
    return ToResponse(what == http::Router::Missing::kMethod
                          ? TextAnswer(405, "only GET and HEAD are supported")
                          : TextAnswer(404, "not found"));
  }
  Answer Ready() const;
  Answer Metrics() const;
  Answer Blob(const http::Request& request) const;
  absl::Status Authorize(const http::Request& request) const;

  const pipeline::BlobStore& blobs;
  const Options options;
  const Handlers handlers;
  const http::Router router;
  uint16_t port = 0;
  std::unique_ptr<http::Server> server;  // ends first: it calls all the others
};

std::vector<http::Route> HttpServer::Impl::Routes() {
  const auto page = [](auto answer) {
    return http::Page(
        [answer](const http::Request& request) { return ToResponse(answer(request)); });
  };
  return {
      {"GET", "/livez", page([](const http::Request&) { return TextAnswer(200, "ok"); })},
      {"GET", "/readyz", page([this](const http::Request&) { return Ready(); })},
      {"GET", "/metrics", page([this](const http::Request&) { return Metrics(); })},
      {"GET", "/v1/blobs/", page([this](const http::Request& request) { return Blob(request); })},
  };
}

absl::Status HttpServer::Impl::Listen() {
  http::Server::Options serve;
  // Silent ones make room, so that whoever asks how the daemon does is heard whoever else comes.
  serve.connections = {
      .most = options.max_connections,
      .gives_way = true,
      .most_strangers = std::max<size_t>(options.max_connections / 2, 1),
      .most_strangers_per_address = std::max<size_t>(options.max_connections / 8, 1),
      .patience = options.patience};
  serve.tls = http::ServerTls{options.ca_pem, options.certificate_pem, options.private_pem};
  serve.threads = options.threads;
  serve.handshake_timeout = options.handshake_timeout;
  serve.read_timeout = options.idle_timeout;
  serve.write_timeout = options.write_timeout;
  serve.refuse = Refuse;
  QF_ASSIGN_OR_RETURN(
      server, http::Server::Make(std::move(serve), [this](const http::ExchangePtr& exchange) {
        router.Answer(exchange);
      }));
  const http::ListenAddress at{
      options.host == "localhost" ? "127.0.0.1" : options.host, options.port, {}};
  if (!http::IsNumericHost(at.host))
    return InvalidArgument("HTTPS: {} is not an address to listen at: use an IP address",
                           options.host);
  int error = 0;
  const auto socket = http::OpenListenSocket(at, &error);
  if (error == EADDRINUSE)
    return Unavailable(
        "HTTPS: {}:{} is in use by another process: stop it, or choose another address with --http",
        options.host, options.port);
  if (!socket.ok())
    return Unavailable("HTTPS: cannot listen at {}:{}: {}", options.host, options.port,
                       std::strerror(error));
  port = socket->port;
  return server->Listen(*socket);
}

Answer HttpServer::Impl::Ready() const {
  const absl::Status ready = handlers.ready();
  return ready.ok() ? TextAnswer(200, "ok") : TextAnswer(503, "not ready");
}

Answer HttpServer::Impl::Metrics() const {
  http::Server::Traffic traffic = server->traffic();
  Answer answer;
  answer.type = "text/plain; version=0.0.4; charset=utf-8";
  answer.body = handlers.metrics({.requests = std::move(traffic.answers),
                                  .connections = traffic.connections.open,
                                  .refused = traffic.connections.refused,
                                  .blob_bytes = traffic.source_bytes});
  return answer;
}

absl::Status HttpServer::Impl::Authorize(const http::Request& request) const {
  if (!request.peer_certificate)
    return Unauthenticated("blobs require a client certificate from this daemon's CA");
  QF_ASSIGN_OR_RETURN(const trust::CertificateInfo info,
                      trust::ReadCertificate(*request.peer_certificate));
  return handlers.authorize(info);
}

Answer HttpServer::Impl::Blob(const http::Request& request) const {
  if (const absl::Status allowed = Authorize(request); !allowed.ok())
    return ErrorAnswer(handlers.for_device(allowed));
  const auto name = ParseBlobTarget(request.target);
  if (!name) return TextAnswer(404, "a blob's path is /v1/blobs/<64 hex digits>.<encoding>");
  absl::StatusOr<Answer> answer = BlobAnswer(
      blobs, *name,
      {request.Field("If-None-Match"), request.Field("If-Range"), request.Field("Range")});
  if (!answer.ok()) {
    // Whatever the code is: it is the daemon that cannot, not the client that may not.
    const absl::Status unreadable =
        Internal("a blob cannot be read: {}", Describe(answer.status()));
    return TextAnswer(503, Message(handlers.for_device(unreadable)));
  }
  // Not there, or shorter than the client knows it to be.
  const bool lacks = answer->status == 404 || answer->status == 416;
  if (lacks && handlers.unreadable(name->digest) && answer->status == 404)
    return TextAnswer(503, "the blob is missing: the daemon looks for it");
  return *std::move(answer);
}

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(const pipeline::BlobStore& blobs,
                                                              Options options, Handlers handlers) {
  auto impl = std::make_unique<Impl>(blobs, std::move(options), std::move(handlers));
  QF_RETURN_IF_ERROR(impl->Listen());
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(impl)));
}

HttpServer::HttpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpServer::~HttpServer() { Stop(); }
uint16_t HttpServer::port() const { return impl_->port; }
void HttpServer::Stop() { impl_->server->Stop(impl_->options.grace); }

}  // namespace quantfleet::daemon
