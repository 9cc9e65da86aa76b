#include "daemon/web/http_server.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl.hpp>
#include <condition_variable>
#include <mutex>
#include <set>
#include <thread>

#include "common/net/http_text.h"
#include "common/trust/openssl_handles.h"
#include "daemon/web/answer.h"
#include "daemon/web/tls_context.h"

namespace quantfleet::daemon {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;
using boost::system::error_code;

constexpr auto kUse = asio::as_tuple(asio::use_awaitable);
constexpr size_t kPiece = 64 << 10;
constexpr uint32_t kHeaderLimit = 8 << 10;
constexpr auto kAcceptPause = std::chrono::milliseconds(100);
constexpr auto kLastBytes = std::chrono::seconds(2);  // for a TLS close to go out
constexpr char kServerName[] = "quantfleet/" QUANTFLEET_VERSION;

std::string_view View(beast::string_view text) { return {text.data(), text.size()}; }

}  // namespace

struct HttpServer::Impl {
  // One client. Everything of it happens on its strand.
  struct Connection {
    Connection(tcp::socket socket, asio::ssl::context& tls) : stream(std::move(socket), tls) {}
    beast::ssl_stream<beast::tcp_stream> stream;
    beast::flat_buffer buffer{kHeaderLimit * 2};
    bool answering = false, close = false;
  };

  Impl(const pipeline::BlobStore& blobs_in, Options options_in, Handlers handlers_in)
      : blobs(blobs_in), options(std::move(options_in)), handlers(std::move(handlers_in)) {}

  absl::Status Listen();
  asio::awaitable<void> Accept();
  void Spawn(tcp::socket socket);
  asio::awaitable<void> Serve(std::shared_ptr<Connection> c);
  asio::awaitable<bool> ServeOne(Connection& c);
  Answer Decide(Connection& c, const http::request<http::empty_body>& request);
  Answer Blob(Connection& c, const http::request<http::empty_body>& request);
  absl::Status Authorize(Connection& c);
  asio::awaitable<bool> Send(Connection& c, const http::request<http::empty_body>& request,
                             Answer answer);
  asio::awaitable<bool> SendBlob(Connection& c, const Answer& answer);
  asio::awaitable<bool> Write(Connection& c, std::string_view bytes);
  Traffic TrafficNow() const;
  void CloseAll(bool also_answering);
  void Run();
  void Stop();

  const pipeline::BlobStore& blobs;
  const Options options;
  const Handlers handlers;
  asio::ssl::context tls{asio::ssl::context::tls_server};
  asio::io_context io;
  tcp::acceptor acceptor{asio::make_strand(io)};
  asio::steady_timer pause{acceptor.get_executor()};
  uint16_t port = 0;
  std::vector<std::thread> threads;

  mutable std::mutex mutex;      // guards what follows
  std::condition_variable idle;  // a connection or a thread ended
  int running = 0;               // threads
  std::set<std::shared_ptr<Connection>> connections;
  Traffic traffic;
  bool stopping = false;
};

absl::Status HttpServer::Impl::Listen() {
  error_code error;
  const auto address =
      asio::ip::make_address(options.host == "localhost" ? "127.0.0.1" : options.host, error);
  if (error)
    return InvalidArgument("HTTPS: {} is no address to listen at: give an IP address",
                           options.host);
  const tcp::endpoint endpoint(address, options.port);
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (!error) port = acceptor.local_endpoint(error).port();
  if (error == asio::error::address_in_use)
    return Unavailable(
        "HTTPS: {}:{} is taken by another process: stop it, or choose another with --http",
        options.host, options.port);
  if (error)
    return Unavailable("HTTPS: cannot listen at {}:{}: {}", options.host, options.port,
                       error.message());
  return absl::OkStatus();
}

asio::awaitable<void> HttpServer::Impl::Accept() {
  while (acceptor.is_open()) {
    auto [error, socket] = co_await acceptor.async_accept(asio::make_strand(io), kUse);
    if (error == asio::error::operation_aborted || error == asio::error::bad_descriptor) co_return;
    if (!error) {
      Spawn(std::move(socket));
      continue;
    }
    pause.expires_after(kAcceptPause);  // out of descriptors: what is open has to end first
    co_await pause.async_wait(kUse);
  }
}

void HttpServer::Impl::Spawn(tcp::socket socket) {
  const auto strand = socket.get_executor();
  auto c = std::make_shared<Connection>(std::move(socket), tls);
  {
    std::lock_guard lock(mutex);
    if (stopping) return;
    if (connections.size() >= options.max_connections) {
      ++traffic.refused;
      return;
    }
    connections.insert(c);
  }
  asio::co_spawn(strand, Serve(c), [this, c](std::exception_ptr) {
    std::lock_guard lock(mutex);
    connections.erase(c);
    if (connections.empty()) idle.notify_all();
  });
}

asio::awaitable<void> HttpServer::Impl::Serve(std::shared_ptr<Connection> c) {
  error_code ignored;
  beast::get_lowest_layer(c->stream).socket().set_option(tcp::no_delay(true), ignored);
  beast::get_lowest_layer(c->stream).expires_after(options.handshake_timeout);
  auto [error] = co_await c->stream.async_handshake(asio::ssl::stream_base::server, kUse);
  if (error) co_return;
  while (co_await ServeOne(*c)) {
  }
  beast::get_lowest_layer(c->stream).expires_after(kLastBytes);
  co_await c->stream.async_shutdown(kUse);
}

// Whether the connection lives on.
asio::awaitable<bool> HttpServer::Impl::ServeOne(Connection& c) {
  http::request_parser<http::empty_body> parser;
  parser.header_limit(kHeaderLimit);
  parser.body_limit(std::uint64_t{0});
  beast::get_lowest_layer(c.stream).expires_after(options.idle_timeout);
  auto [error, bytes] = co_await http::async_read(c.stream, c.buffer, parser, kUse);
  (void)bytes;
  c.answering = true;
  Answer answer;
  http::request<http::empty_body> request = parser.release();
  if (error == http::error::body_limit || error == http::error::unexpected_body) {
    answer = TextAnswer(413, "requests have no body here");
    request.keep_alive(false);
  } else if (error == http::error::header_limit || error == http::error::buffer_overflow) {
    answer = TextAnswer(431, "the request's head is too large");
    request.keep_alive(false);
  } else if (error.category() == make_error_code(http::error::bad_method).category() &&
             error != http::error::end_of_stream && error != http::error::partial_message) {
    answer = TextAnswer(400, "not an HTTP request");
    request.keep_alive(false);
  } else if (error) {
    co_return false;
  } else {
    answer = Decide(c, request);
  }
  const bool sent = co_await Send(c, request, std::move(answer));
  c.answering = false;
  co_return sent&& request.keep_alive() && !c.close;
}

Answer HttpServer::Impl::Decide(Connection& c, const http::request<http::empty_body>& request) {
  if (request.method() != http::verb::get && request.method() != http::verb::head)
    return TextAnswer(405, "GET and HEAD only");
  std::string_view target = View(request.target());
  target = target.substr(0, target.find('?'));
  try {
    if (target == "/livez") return TextAnswer(200, "ok");
    if (target == "/readyz") {
      const absl::Status ready = handlers.ready();
      return ready.ok() ? TextAnswer(200, "ok") : TextAnswer(503, "not ready");
    }
    if (target == "/metrics") {
      Answer answer;
      answer.type = "text/plain; version=0.0.4; charset=utf-8";
      answer.body = handlers.metrics(TrafficNow());
      return answer;
    }
    if (target.starts_with("/v1/blobs/")) return Blob(c, request);
    return TextAnswer(404, "not found");
  } catch (const std::exception&) {
    return TextAnswer(500, "internal error");
  }
}

absl::Status HttpServer::Impl::Authorize(Connection& c) {
  const trust::X509Ptr certificate(SSL_get1_peer_certificate(c.stream.native_handle()));
  if (!certificate) return Unauthenticated("blobs need a client certificate of this daemon's CA");
  QF_ASSIGN_OR_RETURN(const trust::CertificateInfo info,
                      trust::ReadCertificate(trust::CertificateToPem(certificate.get())));
  return handlers.authorize(info);
}

Answer HttpServer::Impl::Blob(Connection& c, const http::request<http::empty_body>& request) {
  if (const absl::Status allowed = Authorize(c); !allowed.ok()) return ErrorAnswer(allowed);
  const auto name = ParseBlobTarget(View(request.target()));
  if (!name) return TextAnswer(404, "a blob is /v1/blobs/<64 hex digits>.<encoding>");
  return BlobAnswer(blobs, *name,
                    {View(request[http::field::if_none_match]),
                     View(request[http::field::if_range]), View(request[http::field::range])});
}

asio::awaitable<bool> HttpServer::Impl::Send(Connection& c,
                                             const http::request<http::empty_body>& request,
                                             Answer answer) {
  http::response<http::empty_body> response(static_cast<http::status>(answer.status),
                                            request.version() == 10 ? 10 : 11);
  response.set(http::field::server, kServerName);
  response.set(http::field::content_type, answer.type);
  response.keep_alive(request.keep_alive() && !c.close);
  if (!answer.etag.empty()) {
    response.set(http::field::etag, answer.etag);
    response.set(http::field::accept_ranges, "bytes");
    response.set(http::field::cache_control, "public, max-age=31536000, immutable");
  } else {
    response.set(http::field::cache_control, "no-store");
  }
  if (answer.status == 405) response.set(http::field::allow, "GET, HEAD");
  if (answer.status == 416)
    response.set(http::field::content_range, fmt::format("bytes */{}", answer.size));
  if (answer.status == 206)
    response.set(
        http::field::content_range,
        fmt::format("bytes {}-{}/{}", answer.first, answer.first + answer.length - 1, answer.size));
  const bool with_body = request.method() != http::verb::head && answer.status != 304;
  if (answer.status != 304)
    response.content_length(answer.blob ? answer.length : answer.body.size());
  {
    std::lock_guard lock(mutex);
    ++traffic.requests[answer.status];
  }
  std::string bytes = net::HttpText(response.base());
  if (with_body && !answer.blob) bytes += answer.body;
  const bool sent = co_await Write(c, bytes);
  // Not `sent && co_await ...`: g++ 12 evaluates the right side anyway.
  if (sent && with_body && answer.blob) co_return co_await SendBlob(c, answer);
  co_return sent;
}

asio::awaitable<bool> HttpServer::Impl::SendBlob(Connection& c, const Answer& answer) {
  std::string piece(static_cast<size_t>(std::min<uint64_t>(kPiece, answer.length)), '\0');
  for (uint64_t done = 0; done < answer.length;) {
    const size_t size = std::min<size_t>(piece.size(), answer.length - done);
    // Too late for an error's status: the length was promised, so the connection is cut.
    const MutableBytes part = std::as_writable_bytes(std::span(piece)).first(size);
    if (!answer.blob->Read(part).ok()) co_return false;
    const bool sent = co_await Write(c, std::string_view(piece).substr(0, size));
    if (!sent) co_return false;
    done += size;
    std::lock_guard lock(mutex);
    traffic.blob_bytes += size;
  }
  co_return true;
}

asio::awaitable<bool> HttpServer::Impl::Write(Connection& c, std::string_view bytes) {
  beast::get_lowest_layer(c.stream).expires_after(options.write_timeout);
  auto [error, size] =
      co_await asio::async_write(c.stream, asio::buffer(bytes.data(), bytes.size()), kUse);
  (void)size;
  co_return !error;
}

HttpServer::Traffic HttpServer::Impl::TrafficNow() const {
  std::lock_guard lock(mutex);
  Traffic now = traffic;
  now.connections = connections.size();
  return now;
}

void HttpServer::Impl::CloseAll(bool also_answering) {
  std::vector<std::shared_ptr<Connection>> open;
  {
    std::lock_guard lock(mutex);
    open.assign(connections.begin(), connections.end());
  }
  for (const auto& c : open) {
    asio::post(c->stream.get_executor(), [c, also_answering] {
      c->close = true;
      if (also_answering || !c->answering) beast::get_lowest_layer(c->stream).close();
    });
  }
}

void HttpServer::Impl::Run() {
  io.run();
  std::lock_guard lock(mutex);
  --running;
  idle.notify_all();
}

void HttpServer::Impl::Stop() {
  {
    std::lock_guard lock(mutex);
    if (std::exchange(stopping, true)) return;
  }
  if (threads.empty()) return;
  asio::post(acceptor.get_executor(), [this] {
    error_code ignored;
    acceptor.close(ignored);
    pause.cancel();
  });
  CloseAll(false);
  {
    std::unique_lock lock(mutex);
    idle.wait_for(lock, options.grace, [this] { return connections.empty(); });
  }
  CloseAll(true);
  {
    // With the acceptor and every connection closed the threads run out of work.
    std::unique_lock lock(mutex);
    idle.wait_for(lock, kLastBytes, [this] { return running == 0; });
  }
  io.stop();
  for (std::thread& thread : threads) thread.join();
  threads.clear();
}

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(const pipeline::BlobStore& blobs,
                                                              Options options, Handlers handlers) {
  try {
    auto impl = std::make_unique<Impl>(blobs, std::move(options), std::move(handlers));
    QF_RETURN_IF_ERROR(ConfigureTls(impl->tls.native_handle(), impl->options.ca_pem,
                                    impl->options.certificate_pem, impl->options.private_pem));
    QF_RETURN_IF_ERROR(impl->Listen());
    asio::co_spawn(impl->acceptor.get_executor(), impl->Accept(), [](std::exception_ptr) {});
    impl->running = std::max(1, impl->options.threads);
    for (int i = impl->running; i > 0; --i)
      impl->threads.emplace_back([impl = impl.get()] { impl->Run(); });
    return std::unique_ptr<HttpServer>(new HttpServer(std::move(impl)));
  } catch (const std::exception& e) {
    return Internal("starting HTTPS: {}", e.what());
  }
}

HttpServer::HttpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpServer::~HttpServer() { Stop(); }
uint16_t HttpServer::port() const { return impl_->port; }
void HttpServer::Stop() { impl_->Stop(); }

}  // namespace quantfleet::daemon
