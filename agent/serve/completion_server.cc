// HTTP/1.1 by Boost.Beast, one coroutine per connection, all on one thread. Generations run on the
// queue's thread and reach their connection through an Exchange; what other servers answer passes
// through Forward.

#include "agent/serve/completion_server.h"

#include <unistd.h>

#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <functional>
#include <map>
#include <optional>
#include <thread>

#include "agent/serve/listen_socket.h"
#include "agent/serve/prepare.h"
#include "agent/serve/serve_metrics.h"
#include "common/net/http_text.h"

namespace quantfleet::agent {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using boost::system::error_code;
using Request = http::request<http::string_body>;
using Socket = asio::generic::stream_protocol::socket;  // TCP or unix
using Stream = beast::basic_stream<asio::generic::stream_protocol>;

constexpr auto kTuple = asio::as_tuple(asio::use_awaitable);

struct Connection {
  explicit Connection(Socket socket) : stream(std::move(socket)) {}
  Stream stream;
  bool counted = true;  // among the open ones
};
using ConnectionPtr = std::shared_ptr<Connection>;

// Between one generation and the connection that waits for it. Lives on the network thread alone:
// the queue's thread only posts to it. What is pending is bounded by the answer itself, and by the
// write timeout.
struct Exchange {
  explicit Exchange(const asio::any_io_executor& executor) : wake(executor) {}
  asio::steady_timer wake;
  struct Piece {
    std::string text;
    std::vector<engine::TokenProbability> tokens;
  };
  // What has not been sent. Pieces stay apart however late this thread is: many clients count them
  // as tokens.
  std::vector<Piece> pending;
  std::optional<absl::StatusOr<engine::GenerateResult>> result;

  // Until there is text (or, when `whole`, everything) or the end.
  asio::awaitable<void> Wait(bool whole) {
    while (!result && (whole || pending.empty())) {
      wake.expires_at(asio::steady_timer::time_point::max());
      co_await wake.async_wait(kTuple);
    }
  }
};

using asio::ip::tcp;
using local = asio::local::stream_protocol;

constexpr auto kLinger = std::chrono::seconds(2), kConnect = std::chrono::seconds(2);
constexpr size_t kRelayBytes = 16 << 10;
constexpr size_t kMaxHeaderBytes = 16 << 10, kMaxLingerBytes = 8 << 20;
constexpr std::string_view kApi = "/v1/", kModels = "/v1/models/";

std::string_view View(beast::string_view text) { return {text.data(), text.size()}; }

std::string Chunk(std::string_view bytes) {
  return fmt::format("{:x}\r\n{}\r\n", bytes.size(), bytes);
}

// The request as it goes on to another server, which is asked on a connection of its own.
std::string ForwardText(const Request& request) {
  http::request<http::empty_body> head(request.method(), request.target(), 11);
  head.set(http::field::host, "localhost");
  for (const auto field :
       {http::field::content_type, http::field::accept, http::field::authorization})
    if (request.count(field) > 0) head.set(field, request[field]);
  head.content_length(request.body().size());
  head.keep_alive(false);
  return net::HttpText(head.base()) + request.body();
}

// What another server answers, piece by piece.
struct Relay {
  explicit Relay(const asio::any_io_executor& executor) : stream(executor) {
    parser.header_limit(kMaxHeaderBytes);
    parser.body_limit(boost::none);
  }
  Stream stream;
  beast::flat_buffer buffer;
  http::response_parser<http::buffer_body> parser;
  std::string piece;

  // Sends the request and takes the answer's head.
  asio::awaitable<error_code> Ask(const SocketAddress& at, std::string_view text) {
    stream.expires_after(kConnect);
    const asio::generic::stream_protocol::endpoint endpoint(&at.at, at.size);
    auto [error] = co_await stream.async_connect(endpoint, kTuple);
    if (error) co_return error;
    stream.expires_never();  // who watches over the server ends it where it hangs, and the client
                             // may leave
    size_t size = 0;
    std::tie(error, size) =
        co_await asio::async_write(stream, asio::buffer(text.data(), text.size()), kTuple);
    if (!error)
      std::tie(error, size) = co_await http::async_read_header(stream, buffer, parser, kTuple);
    co_return error;
  }
  // The next bytes of the body; none at its end.
  asio::awaitable<error_code> Next() {
    error_code error;
    piece.clear();
    while (piece.empty() && !error && !parser.is_done()) {
      piece.resize(kRelayBytes);
      parser.get().body().data = piece.data();
      parser.get().body().size = piece.size();
      size_t size = 0;
      std::tie(error, size) = co_await http::async_read_some(stream, buffer, parser, kTuple);
      if (error == http::error::need_buffer) error = {};
      piece.resize(piece.size() - parser.get().body().size);
    }
    co_return error;
  }
};

}  // namespace

struct CompletionServer::Impl {
  Impl(const Options& with, const Clock& clock_, Random& random_)
      : options(with),
        clock(clock_),
        random(random_),
        tcp_acceptor(io),
        unix_acceptor(io),
        flush(io),
        queue(with.queue) {}

  absl::Status Listen();
  void Shut();

  template <class Acceptor>
  asio::awaitable<void> Accept(Acceptor& acceptor);
  void Take(Socket socket);
  asio::awaitable<void> Serve(ConnectionPtr connection, bool crowded);
  asio::awaitable<bool> ServeOne(const ConnectionPtr& connection, beast::flat_buffer& buffer,
                                 bool crowded);
  asio::awaitable<bool> Route(const ConnectionPtr& connection, const Request& request);
  // An answer in one piece. Given to a coroutine by a name of its own: g++ 12 destroys one that is
  // made in the call twice.
  struct Page {
    int status;
    std::string body;
    const char* type = "application/json";
  };
  // What is asked for without a body; nullopt: there is no such page.
  std::optional<Page> Look(std::string_view target);
  asio::awaitable<bool> Complete(const ConnectionPtr& connection, const Request& request,
                                 Endpoint endpoint);
  std::shared_ptr<Exchange> Connect(Generation& generation);
  void Watch(const ConnectionPtr& connection, std::function<void()> on_left);
  // Who answers what is posted, where that is no engine.
  std::shared_ptr<Upstream> UpstreamFor(const Request& request) const;
  asio::awaitable<bool> Forward(const ConnectionPtr& connection, const Request& request,
                                const std::shared_ptr<Upstream>& upstream);
  asio::awaitable<bool> RelayAnswer(Stream& stream, const Request& request, Relay& relay);
  asio::awaitable<bool> StreamAnswer(Stream& stream, const Request& request,
                                     const CompletionRequest& wanted, const AnswerHead& head,
                                     Exchange& exchange);
  asio::awaitable<bool> Reply(Stream& stream, unsigned version, bool keep_alive, Page page);
  asio::awaitable<bool> ReplyError(Stream& stream, unsigned version, bool keep_alive,
                                   const ApiError& error);
  asio::awaitable<bool> Write(Stream& stream, std::string_view bytes);
  asio::awaitable<void> Linger(Stream& stream);
  void Cancel(Generation& generation);
  ServeCounts Counts() const;

  const Options options;
  const Clock& clock;
  Random& random;
  ModelTable models;
  std::string endpoint;
  bool is_unix = false;
  // The network thread's own; before `io`, whose end destroys the coroutines.
  std::map<uint64_t, Connection*> reading;  // that wait for a request, longest first
  uint64_t reads = 0;
  size_t connections = 0;
  bool draining = false, flushing = false;
  ServeCounts counts;
  asio::io_context io{1};
  asio::ip::tcp::acceptor tcp_acceptor;
  asio::local::stream_protocol::acceptor unix_acceptor;
  asio::steady_timer flush;
  GenerationQueue queue;
  std::jthread thread;
};

absl::Status CompletionServer::Impl::Listen() {
  QF_ASSIGN_OR_RETURN(const ListenSocket socket, OpenListenSocket(options.listen));
  endpoint = socket.endpoint;
  is_unix = socket.family == AF_UNIX;
  const auto ended = [](std::exception_ptr) {};
  if (is_unix) {
    unix_acceptor.assign(local(), socket.fd);
    asio::co_spawn(io, Accept(unix_acceptor), ended);
  } else {
    tcp_acceptor.assign(socket.family == AF_INET ? tcp::v4() : tcp::v6(), socket.fd);
    asio::co_spawn(io, Accept(tcp_acceptor), ended);
  }
  thread = std::jthread([this] { io.run(); });
  return absl::OkStatus();
}

void CompletionServer::Impl::Shut() {
  if (!thread.joinable()) return;
  asio::post(io, [this] {
    draining = true;
    error_code ignored;
    tcp_acceptor.close(ignored);
    unix_acceptor.close(ignored);
    for (const auto& [key, connection] : reading) connection->stream.close();
  });
  queue.Drain(options.most_drain);
  queue.Stop();
  // What came of the last generations goes out, as far as clients take it.
  asio::post(io, [this] {
    flushing = true;
    flush.expires_after(kLinger);
    flush.async_wait([this](error_code) { io.stop(); });
    if (connections == 0) io.stop();
  });
  thread.join();
  if (is_unix) ::unlink(endpoint.substr(endpoint.find(':') + 1).c_str());
}

template <class Acceptor>
asio::awaitable<void> CompletionServer::Impl::Accept(Acceptor& acceptor) {
  asio::steady_timer pause(io);
  while (acceptor.is_open()) {
    Socket socket(io);
    auto [error] = co_await acceptor.async_accept(socket, kTuple);
    if (error == asio::error::operation_aborted) co_return;
    if (error) {  // out of descriptors: give others time to close theirs
      pause.expires_after(std::chrono::milliseconds(100));
      co_await pause.async_wait(kTuple);
      continue;
    }
    Take(std::move(socket));
  }
}

void CompletionServer::Impl::Take(Socket socket) {
  if (draining) return;
  if (connections >= options.most_connections && !reading.empty()) {
    Connection& longest = *reading.begin()->second;
    reading.erase(reading.begin());
    longest.counted = false;
    longest.stream.close();
    --connections;
    ++counts.evicted;
  }
  const bool crowded = connections >= options.most_connections;
  if (crowded) ++counts.refused;
  if (connections >= 2 * options.most_connections) return;  // closes it
  ++connections;
  const auto connection = std::make_shared<Connection>(std::move(socket));
  asio::co_spawn(io, Serve(connection, crowded), [this, connection](std::exception_ptr) {
    if (connection->counted) --connections;
    if (flushing && connections == 0) io.stop();
  });
}

asio::awaitable<void> CompletionServer::Impl::Serve(ConnectionPtr connection, bool crowded) {
  Stream& stream = connection->stream;
  error_code ignored;
  if (!is_unix) stream.socket().set_option(tcp::no_delay(true), ignored);
  beast::flat_buffer buffer;
  while (co_await ServeOne(connection, buffer, crowded) && !draining) {
  }
  stream.socket().shutdown(Socket::shutdown_send, ignored);
  stream.close();  // ends the watch of Complete, which holds the connection too
}

// One request and its answer; whether there may be another.
asio::awaitable<bool> CompletionServer::Impl::ServeOne(const ConnectionPtr& connection,
                                                       beast::flat_buffer& buffer, bool crowded) {
  Stream& stream = connection->stream;
  http::request_parser<http::string_body> parser;
  parser.body_limit(options.most_body_bytes);
  parser.header_limit(kMaxHeaderBytes);
  stream.expires_after(crowded ? kLinger : options.read_timeout);
  const uint64_t key = reads++;
  if (!crowded) reading.emplace(key, connection.get());
  auto [error, size] = co_await http::async_read(stream, buffer, parser, kTuple);
  reading.erase(key);
  const unsigned version = parser.get().version();
  if (error == http::error::body_limit || error == http::error::header_limit) {
    const bool body = error == http::error::body_limit;
    ApiError refused{body ? 400 : 431, "invalid_request_error", "too_large", ""};
    refused.message = body ? fmt::format("the body has more than {} bytes", options.most_body_bytes)
                           : fmt::format("the header has more than {} bytes", kMaxHeaderBytes);
    co_await ReplyError(stream, version, false, refused);
    co_await Linger(stream);
    co_return false;
  }
  const bool not_http =
      error.category() == http::make_error_code(http::error::bad_method).category();
  if (error == http::error::end_of_stream || (error && !not_http)) co_return false;
  if (error) {
    const ApiError refused{400, "invalid_request_error", "bad_http",
                           "not HTTP: " + error.message()};
    co_await ReplyError(stream, 11, false, refused);
    co_await Linger(stream);
    co_return false;
  }
  if (crowded) {
    const ApiError refused{
        429, "rate_limit_error", "too_many_connections",
        fmt::format("{} connections are busy: close one", options.most_connections)};
    co_await ReplyError(stream, version, false, refused);
    co_return false;
  }
  const Request request = parser.release();
  co_return co_await Route(connection, request);
}

std::optional<CompletionServer::Impl::Page> CompletionServer::Impl::Look(std::string_view target) {
  const auto names = models.Names();
  const int64_t now = ToUnixMillis(clock.Now()) / 1000;
  if (target == "/health") return Page{names.empty() ? 503 : 200, RenderHealth(names)};
  if (target == "/metrics") return Page{200, RenderMetrics(Counts()), "text/plain; version=0.0.4"};
  if (target == "/v1/models") return Page{200, RenderModels(names, now)};
  if (!target.starts_with(kModels)) return std::nullopt;
  const auto found = models.Find(std::string(target.substr(kModels.size())));
  if (found.ok()) return Page{200, RenderModel(found->name, now)};
  const ApiError error = ToApiError(found.status());
  return Page{error.http, RenderError(error)};
}

asio::awaitable<bool> CompletionServer::Impl::Route(const ConnectionPtr& connection,
                                                    const Request& request) {
  Stream& stream = connection->stream;
  const unsigned version = request.version();
  const bool keep = request.keep_alive();
  std::string_view target = View(request.target());
  target = target.substr(0, target.find('?'));
  const bool get = request.method() == http::verb::get, post = request.method() == http::verb::post;

  if (!is_unix && !IsLocalHost(View(request[http::field::host]))) {
    const ApiError refused{403, "invalid_request_error", "foreign_host",
                           "this endpoint answers local names only"};
    co_return co_await ReplyError(stream, version, keep, refused);
  }
  if (post && target.starts_with(kApi)) {
    const auto upstream = UpstreamFor(request);
    if (upstream) co_return co_await Forward(connection, request, upstream);
  }
  if (target == "/v1/completions" && post)
    co_return co_await Complete(connection, request, Endpoint::kCompletions);
  if (target == "/v1/chat/completions" && post)
    co_return co_await Complete(connection, request, Endpoint::kChatCompletions);
  auto page = Look(target);
  if (page && get) co_return co_await Reply(stream, version, keep, *std::move(page));
  const bool known = page || target == "/v1/completions" || target == "/v1/chat/completions";
  ApiError refused{known ? 405 : 404, "invalid_request_error",
                   known ? "method_not_allowed" : "not_found", ""};
  refused.message = known ? "this path does not know that method"
                          : "there are /v1/completions, /v1/chat/completions, "
                            "/v1/models, /health and /metrics";
  co_return co_await ReplyError(stream, version, keep, refused);
}

std::shared_ptr<Exchange> CompletionServer::Impl::Connect(Generation& generation) {
  auto exchange = std::make_shared<Exchange>(io.get_executor());
  generation.on_text = [this, exchange](std::string_view piece,
                                        std::span<const engine::TokenProbability> tokens) {
    if (piece.empty() && tokens.empty()) return;
    asio::post(io, [exchange, added = Exchange::Piece{std::string(piece),
                                                      {tokens.begin(), tokens.end()}}]() mutable {
      exchange->pending.push_back(std::move(added));
      exchange->wake.cancel();
    });
  };
  generation.on_done = [this, exchange](absl::StatusOr<engine::GenerateResult> result) {
    asio::post(io, [exchange, result = std::move(result)]() mutable {
      exchange->result = std::move(result);
      exchange->wake.cancel();
    });
  };
  return exchange;
}

void CompletionServer::Impl::Cancel(Generation& generation) {
  if (!generation.cancelled.exchange(true)) ++counts.cancelled;
}

// Readable without bytes is the end: nobody waits for this answer any more.
void CompletionServer::Impl::Watch(const ConnectionPtr& connection, std::function<void()> on_left) {
  connection->stream.expires_never();
  connection->stream.socket().async_wait(Socket::wait_read,
                                         [connection, left = std::move(on_left)](error_code error) {
                                           if (error) return;
                                           if (connection->stream.socket().available(error) == 0)
                                             left();
                                         });
}

asio::awaitable<bool> CompletionServer::Impl::Complete(const ConnectionPtr& connection,
                                                       const Request& request,
                                                       Endpoint endpoint_kind) {
  Stream& stream = connection->stream;
  const unsigned version = request.version();
  const bool keep = request.keep_alive();
  const auto wanted = ParseCompletionRequest(endpoint_kind, request.body());
  if (!wanted.ok())
    co_return co_await ReplyError(stream, version, keep, ToApiError(wanted.status()));
  AnswerHead head{.endpoint = endpoint_kind,
                  .id = {},
                  .model = {},
                  .created = ToUnixMillis(clock.Now()) / 1000};
  auto generation = PrepareGeneration(*wanted, models, random, &head);
  if (!generation.ok())
    co_return co_await ReplyError(stream, version, keep, ToApiError(generation.status()));
  const auto exchange = Connect(**generation);
  const absl::Status submitted = queue.Submit(*generation);
  if (!submitted.ok()) co_return co_await ReplyError(stream, version, keep, ToApiError(submitted));

  Watch(connection, [this, running = *generation] { Cancel(*running); });
  co_await exchange->Wait(/*whole=*/!wanted->stream);
  if (exchange->result && !exchange->result->ok())
    co_return co_await ReplyError(stream, version, keep, ToApiError(exchange->result->status()));
  if (!wanted->stream) {
    Page page{200, RenderAnswer(head, **exchange->result)};
    co_return co_await Reply(stream, version, keep, std::move(page));
  }
  ++counts.requests[200];
  const bool sent = co_await StreamAnswer(stream, request, *wanted, head, *exchange);
  if (!sent && !exchange->result) Cancel(**generation);
  co_return sent&& keep&& version >= 11;
}

asio::awaitable<bool> CompletionServer::Impl::StreamAnswer(Stream& stream, const Request& request,
                                                           const CompletionRequest& wanted,
                                                           const AnswerHead& head,
                                                           Exchange& exchange) {
  const bool chunked = request.version() >= 11;  // HTTP/1.0 ends with the connection instead
  http::response<http::empty_body> response(http::status::ok, request.version());
  response.set(http::field::content_type, "text/event-stream");
  response.set(http::field::cache_control, "no-cache");
  response.keep_alive(chunked && request.keep_alive() && !draining);
  response.chunked(chunked);
  std::string bytes = net::HttpText(response.base());
  bool first = true, last = false;
  while (!last) {
    stream.expires_never();
    co_await exchange.Wait(/*whole=*/false);
    last = exchange.result.has_value();
    std::string events;
    for (const Exchange::Piece& piece : exchange.pending) {
      events += "data: " + RenderPiece(head, piece.text, piece.tokens, first) + "\n\n";
      first = false;
    }
    exchange.pending.clear();
    if (last && exchange.result->ok()) {
      const engine::GenerateResult& result = **exchange.result;
      if (first) events += "data: " + RenderPiece(head, "", {}, true) + "\n\n";
      events += "data: " + RenderLastPiece(head, result.finish_reason) + "\n\n";
      if (wanted.include_usage) events += "data: " + RenderUsagePiece(head, result) + "\n\n";
    } else if (last) {
      events += "data: " + RenderError(ToApiError(exchange.result->status())) + "\n\n";
    }
    if (last) events += "data: [DONE]\n\n";
    bytes += chunked ? Chunk(events) : events;
    if (last && chunked) bytes += "0\r\n\r\n";
    const bool sent = co_await Write(stream, bytes);
    if (!sent) co_return false;
    bytes.clear();
  }
  co_return true;
}

std::shared_ptr<Upstream> CompletionServer::Impl::UpstreamFor(const Request& request) const {
  if (!models.HasUpstream()) return nullptr;
  const auto found = models.Find(ModelIn(request.body()));
  return found.ok() ? found->upstream : nullptr;
}

asio::awaitable<bool> CompletionServer::Impl::Forward(const ConnectionPtr& connection,
                                                      const Request& request,
                                                      const std::shared_ptr<Upstream>& upstream) {
  Stream& stream = connection->stream;
  const unsigned version = request.version();
  const bool keep = request.keep_alive();
  const Upstream::Use use(upstream);
  ApiError refused{503, "server_error", "unavailable",
                   "this model's runtime is being started again: ask again"};
  const auto parsed = ParseListenAddress(upstream->address());
  if (!parsed.ok()) co_return co_await ReplyError(stream, version, keep, refused);
  const SocketAddress at = ToSocketAddress(*parsed);
  const auto relay = std::make_shared<Relay>(io.get_executor());
  Watch(connection, [this, relay] {
    if (relay->stream.socket().is_open() && !relay->parser.is_done()) ++counts.cancelled;
    relay->stream.close();
  });
  const std::string text = ForwardText(request);
  const error_code error = co_await relay->Ask(at, text);
  if (error) {
    relay->stream.close();  // the watch holds it for as long as the client says nothing
    refused = {502, "server_error", "runtime_failed",
               "this model's runtime did not answer: " + error.message()};
    co_return co_await ReplyError(stream, version, keep, refused);
  }
  const bool whole = co_await RelayAnswer(stream, request, *relay);
  relay->stream.close();
  co_return whole&& keep&& version >= 11;
}

// An answer that breaks off ends without its last chunk, and the connection with it: the client
// sees that it is not whole.
asio::awaitable<bool> CompletionServer::Impl::RelayAnswer(Stream& stream, const Request& request,
                                                          Relay& relay) {
  const auto& answer = relay.parser.get();
  ++counts.requests[answer.result_int()];
  const bool chunked = request.version() >= 11;
  http::response<http::empty_body> response;
  response.version(request.version());
  response.result(answer.result_int());  // also one that Beast has no name for
  for (const auto field :
       {http::field::content_type, http::field::cache_control, http::field::retry_after})
    if (answer.count(field) > 0) response.set(field, answer[field]);
  response.keep_alive(chunked && request.keep_alive() && !draining);
  response.chunked(chunked);
  std::string bytes = net::HttpText(response.base());
  while (true) {
    const bool sent = co_await Write(stream, bytes);
    if (!sent) co_return false;
    stream.expires_never();
    const error_code error = co_await relay.Next();
    if (error) co_return false;
    if (relay.piece.empty()) break;
    bytes = chunked ? Chunk(relay.piece) : relay.piece;
  }
  const std::string_view end = chunked ? "0\r\n\r\n" : "";
  co_return co_await Write(stream, end);
}

asio::awaitable<bool> CompletionServer::Impl::Reply(Stream& stream, unsigned version,
                                                    bool keep_alive, Page page) {
  ++counts.requests[page.status];
  http::response<http::empty_body> response(static_cast<http::status>(page.status),
                                            version < 10 ? 11 : version);
  response.set(http::field::content_type, page.type);
  if (page.status == 429 || page.status == 503) response.set(http::field::retry_after, "1");
  response.keep_alive(keep_alive && !draining);
  response.content_length(page.body.size());
  const std::string bytes = net::HttpText(response.base()) + page.body;
  const bool sent = co_await Write(stream, bytes);
  co_return sent&& keep_alive;
}

asio::awaitable<bool> CompletionServer::Impl::ReplyError(Stream& stream, unsigned version,
                                                         bool keep_alive, const ApiError& error) {
  Page page{error.http, RenderError(error)};
  co_return co_await Reply(stream, version, keep_alive, std::move(page));
}

asio::awaitable<bool> CompletionServer::Impl::Write(Stream& stream, std::string_view bytes) {
  stream.expires_after(options.write_timeout);
  auto [error, size] =
      co_await asio::async_write(stream, asio::buffer(bytes.data(), bytes.size()), kTuple);
  co_return !error;
}

// Closing while the client still sends would reset the connection, and the answer with it.
asio::awaitable<void> CompletionServer::Impl::Linger(Stream& stream) {
  error_code error;
  stream.socket().shutdown(Socket::shutdown_send, error);
  std::array<char, 16 << 10> sink;
  stream.expires_after(kLinger);
  for (size_t read = 0; !error && read < kMaxLingerBytes;) {
    size_t size = 0;
    std::tie(error, size) = co_await stream.async_read_some(asio::buffer(sink), kTuple);
    read += size;
  }
}

ServeCounts CompletionServer::Impl::Counts() const {
  ServeCounts now = counts;
  now.version = options.version;
  now.models = models.Names().size();
  now.connections = connections;
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

void CompletionServer::SetModel(const std::string& name, std::shared_ptr<engine::Engine> engine) {
  auto chat = std::make_shared<const text::ChatTemplate>(ChatTemplateOf(*engine));
  impl_->models.Set({name, std::move(engine), nullptr, std::move(chat)});
}
void CompletionServer::SetModel(const std::string& name, std::shared_ptr<Upstream> upstream) {
  impl_->models.Set({name, nullptr, std::move(upstream), nullptr});
}
void CompletionServer::RemoveModel(const std::string& name) { impl_->models.Remove(name); }
std::vector<std::string> CompletionServer::models() const { return impl_->models.Names(); }

}  // namespace quantfleet::agent
