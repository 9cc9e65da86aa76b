// HTTP/1.1 by Boost.Beast, one coroutine per connection, all on one thread. Generations run on the queue's
// thread and reach their connection through an Exchange.

#include "agent/serve/completion_server.h"

#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <optional>
#include <thread>

#include "agent/serve/generation_queue.h"
#include "agent/serve/listen_address.h"
#include "agent/serve/model_table.h"
#include "agent/serve/openai.h"

namespace quantfleet::agent {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;
using boost::system::error_code;
using Request = http::request<http::string_body>;
using StreamPtr = std::shared_ptr<beast::tcp_stream>;

constexpr auto kTuple = asio::as_tuple(asio::use_awaitable);
constexpr auto kIdle = std::chrono::seconds(60), kWrite = std::chrono::seconds(30),
               kLinger = std::chrono::seconds(2);
constexpr size_t kMostHeaderBytes = 16 << 10, kMostLingerBytes = 8 << 20;

// Between one generation and the connection that waits for it. Lives on the network thread alone: the queue's
// thread only posts to it.
struct Exchange {
  explicit Exchange(const asio::any_io_executor& executor) : wake(executor) {}
  asio::steady_timer wake;
  std::string pending;  // text that has not been sent
  std::optional<absl::StatusOr<GenerateResult>> result;

  // Until there is text (or, when `whole`, everything) or the end.
  asio::awaitable<void> Wait(bool whole) {
    while (!result && (whole || pending.empty())) {
      wake.expires_at(asio::steady_timer::time_point::max());
      co_await wake.async_wait(kTuple);
    }
  }
};

std::string_view View(beast::string_view text) { return {text.data(), text.size()}; }

}  // namespace

struct CompletionServer::Impl {
  Impl(const Options& with, const Clock& clock_, Random& random_)
      : options(with),
        clock(clock_),
        random(random_),
        acceptor(io),
        queue(new GenerationQueue(with.most_waiting)) {}

  absl::Status Listen() {
    QF_ASSIGN_OR_RETURN(const ListenAddress address, ParseListenAddress(options.listen));
    error_code error;
    const tcp::endpoint at(asio::ip::make_address(address.host, error), address.port);
    if (error) return InvalidArgument("listening on {}: {}", options.listen, error.message());
    acceptor.open(at.protocol(), error);
    if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) acceptor.bind(at, error);
    if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
    if (error) return Unavailable("listening on {}: {}", options.listen, error.message());
    const tcp::endpoint bound = acceptor.local_endpoint(error);
    endpoint = bound.address().is_v6() ? fmt::format("[{}]:{}", bound.address().to_string(), bound.port())
                                       : fmt::format("{}:{}", bound.address().to_string(), bound.port());
    asio::co_spawn(io, Accept(), [](std::exception_ptr) {});
    thread = std::jthread([this] { io.run(); });
    return absl::OkStatus();
  }

  void Shut() {
    queue.reset();  // ends what is generated; its last posts find `io` alive
    io.stop();
    if (thread.joinable()) thread.join();
  }

  asio::awaitable<void> Accept();
  asio::awaitable<void> Serve(tcp::socket socket, bool crowded);
  asio::awaitable<bool> Route(const StreamPtr& stream_ptr, const Request& request);
  asio::awaitable<bool> Complete(const StreamPtr& stream_ptr, const Request& request, Endpoint endpoint);
  absl::StatusOr<std::shared_ptr<Generation>> Prepare(const CompletionRequest& wanted, AnswerHead* head);
  std::shared_ptr<Exchange> Connect(Generation& generation);
  asio::awaitable<bool> Stream(beast::tcp_stream& stream, const Request& request,
                               const CompletionRequest& wanted, const AnswerHead& head, Exchange& exchange);
  asio::awaitable<bool> Reply(beast::tcp_stream& stream, unsigned version, bool keep_alive, int status,
                              std::string body);
  asio::awaitable<bool> ReplyError(beast::tcp_stream& stream, unsigned version, bool keep_alive,
                                   const ApiError& error);
  asio::awaitable<void> Linger(beast::tcp_stream& stream);

  const Options options;
  const Clock& clock;
  Random& random;
  ModelTable models;
  asio::io_context io{1};
  tcp::acceptor acceptor;
  std::string endpoint;
  size_t connections = 0;  // network thread
  std::unique_ptr<GenerationQueue> queue;
  std::jthread thread;
};

asio::awaitable<void> CompletionServer::Impl::Accept() {
  asio::steady_timer pause(io);
  while (true) {
    auto [error, socket] = co_await acceptor.async_accept(kTuple);
    if (error == asio::error::operation_aborted) co_return;
    if (error) {  // out of descriptors: give others time to close theirs
      pause.expires_after(std::chrono::milliseconds(100));
      co_await pause.async_wait(kTuple);
      continue;
    }
    if (connections >= 2 * options.most_connections) continue;  // closes it
    const bool crowded = connections >= options.most_connections;
    ++connections;
    asio::co_spawn(io, Serve(std::move(socket), crowded), [this](std::exception_ptr) { --connections; });
  }
}

asio::awaitable<void> CompletionServer::Impl::Serve(tcp::socket socket, bool crowded) {
  const auto stream_ptr = std::make_shared<beast::tcp_stream>(std::move(socket));
  beast::tcp_stream& stream = *stream_ptr;
  error_code ignored;
  stream.socket().set_option(tcp::no_delay(true), ignored);
  beast::flat_buffer buffer;
  bool more = true;
  while (more) {
    http::request_parser<http::string_body> parser;
    parser.body_limit(options.most_body_bytes);
    parser.header_limit(kMostHeaderBytes);
    stream.expires_after(crowded ? kLinger : kIdle);
    auto [error, size] = co_await http::async_read(stream, buffer, parser, kTuple);
    const unsigned version = parser.get().version();
    if (error == http::error::body_limit || error == http::error::header_limit) {
      const bool body = error == http::error::body_limit;
      ApiError refused{body ? 413 : 431, "invalid_request_error", "too_large", ""};
      refused.message = body ? fmt::format("the body has more than {} bytes", options.most_body_bytes)
                             : fmt::format("the header has more than {} bytes", kMostHeaderBytes);
      co_await ReplyError(stream, version, false, refused);
      co_await Linger(stream);
      break;
    }
    const bool not_http = error.category() == http::make_error_code(http::error::bad_method).category();
    if (error == http::error::end_of_stream || (error && !not_http)) break;
    if (error) {
      const ApiError refused{400, "invalid_request_error", "bad_http", "not HTTP: " + error.message()};
      co_await ReplyError(stream, 11, false, refused);
      co_await Linger(stream);
      break;
    }
    if (crowded) {
      const ApiError refused{429, "rate_limit_error", "too_many_connections",
                             fmt::format("{} connections are open: close one", options.most_connections)};
      co_await ReplyError(stream, version, false, refused);
      break;
    }
    const Request request = parser.release();
    more = co_await Route(stream_ptr, request);
  }
  stream.socket().shutdown(tcp::socket::shutdown_send, ignored);
  stream.close();  // ends the watch of Complete, which holds the stream too
}

asio::awaitable<bool> CompletionServer::Impl::Route(const StreamPtr& stream_ptr, const Request& request) {
  beast::tcp_stream& stream = *stream_ptr;
  const unsigned version = request.version();
  const bool keep = request.keep_alive();
  std::string_view target = View(request.target());
  target = target.substr(0, target.find('?'));
  const bool get = request.method() == http::verb::get, post = request.method() == http::verb::post;

  if (!IsLocalHost(View(request[http::field::host]))) {
    const ApiError refused{403, "invalid_request_error", "foreign_host",
                           "this endpoint answers local names only"};
    co_return co_await ReplyError(stream, version, keep, refused);
  }
  if (target == "/health" && get) {
    const auto names = models.Names();
    co_return co_await Reply(stream, version, keep, names.empty() ? 503 : 200, RenderHealth(names));
  }
  if (target == "/v1/models" && get)
    co_return co_await Reply(stream, version, keep, 200,
                             RenderModels(models.Names(), ToUnixMillis(clock.Now()) / 1000));
  if (target == "/v1/completions" && post)
    co_return co_await Complete(stream_ptr, request, Endpoint::kCompletions);
  if (target == "/v1/chat/completions" && post)
    co_return co_await Complete(stream_ptr, request, Endpoint::kChatCompletions);
  const bool known = target == "/health" || target == "/v1/models" || target == "/v1/completions" ||
                     target == "/v1/chat/completions";
  ApiError refused{known ? 405 : 404, "invalid_request_error", known ? "method_not_allowed" : "not_found",
                   ""};
  refused.message = known ? "this path does not know that method"
                          : "there are /v1/completions, /v1/chat/completions, "
                            "/v1/models and /health";
  co_return co_await ReplyError(stream, version, keep, refused);
}

absl::StatusOr<std::shared_ptr<Generation>> CompletionServer::Impl::Prepare(const CompletionRequest& wanted,
                                                                            AnswerHead* head) {
  QF_ASSIGN_OR_RETURN(ModelTable::Found found, models.Find(wanted.model));
  const bool chat = head->endpoint == Endpoint::kChatCompletions;
  head->id = random.Id(chat ? "chatcmpl-" : "cmpl-", 12);
  head->model = found.name;
  head->created = ToUnixMillis(clock.Now()) / 1000;
  auto generation = std::make_shared<Generation>();
  GenerateRequest& request = generation->request;
  request.prompt = wanted.prompt;
  request.stop = wanted.stop;
  if (chat) {
    QF_ASSIGN_OR_RETURN(ChatPrompt prompt, RenderChat(found.engine->chat_template(), wanted.messages));
    request.prompt = std::move(prompt.text);
    request.stop.insert(request.stop.end(), prompt.stop.begin(), prompt.stop.end());
  }
  request.max_tokens = std::min(wanted.max_tokens, found.engine->context());
  request.sampling = wanted.sampling;
  if (!wanted.has_seed) request.sampling.seed = random.Next();
  generation->engine = std::move(found.engine);
  return generation;
}

std::shared_ptr<Exchange> CompletionServer::Impl::Connect(Generation& generation) {
  auto exchange = std::make_shared<Exchange>(io.get_executor());
  generation.on_text = [this, exchange](std::string_view piece) {
    asio::post(io, [exchange, text = std::string(piece)] {
      exchange->pending += text;
      exchange->wake.cancel();
    });
  };
  generation.on_done = [this, exchange](absl::StatusOr<GenerateResult> result) {
    asio::post(io, [exchange, result = std::move(result)]() mutable {
      exchange->result = std::move(result);
      exchange->wake.cancel();
    });
  };
  return exchange;
}

asio::awaitable<bool> CompletionServer::Impl::Complete(const StreamPtr& stream_ptr, const Request& request,
                                                       Endpoint endpoint_kind) {
  beast::tcp_stream& stream = *stream_ptr;
  const unsigned version = request.version();
  const bool keep = request.keep_alive();
  const auto wanted = ParseCompletionRequest(endpoint_kind, request.body());
  if (!wanted.ok()) co_return co_await ReplyError(stream, version, keep, ToApiError(wanted.status()));
  AnswerHead head{.endpoint = endpoint_kind, .id = {}, .model = {}, .created = 0};
  auto generation = Prepare(*wanted, &head);
  if (!generation.ok()) co_return co_await ReplyError(stream, version, keep, ToApiError(generation.status()));
  const auto exchange = Connect(**generation);
  const absl::Status submitted = queue ? queue->Submit(*generation) : Unavailable("the agent is stopping");
  if (!submitted.ok()) co_return co_await ReplyError(stream, version, keep, ToApiError(submitted));

  // Readable without bytes is the end: nobody waits for this answer any more.
  stream.expires_never();
  stream.socket().async_wait(tcp::socket::wait_read, [stream_ptr, running = *generation](error_code error) {
    if (error) return;
    if (stream_ptr->socket().available(error) == 0) running->cancelled = true;
  });
  co_await exchange->Wait(/*whole=*/!wanted->stream);
  if (exchange->result && !exchange->result->ok())
    co_return co_await ReplyError(stream, version, keep, ToApiError(exchange->result->status()));
  if (!wanted->stream)
    co_return co_await Reply(stream, version, keep, 200, RenderAnswer(head, **exchange->result));
  const bool sent = co_await Stream(stream, request, *wanted, head, *exchange);
  if (!sent) (*generation)->cancelled = true;
  co_return sent&& keep&& version >= 11;
}

asio::awaitable<bool> CompletionServer::Impl::Stream(beast::tcp_stream& stream, const Request& request,
                                                     const CompletionRequest& wanted, const AnswerHead& head,
                                                     Exchange& exchange) {
  const bool chunked = request.version() >= 11;  // HTTP/1.0 ends with the connection instead
  http::response<http::empty_body> response(http::status::ok, request.version());
  response.set(http::field::content_type, "text/event-stream");
  response.set(http::field::cache_control, "no-cache");
  response.keep_alive(chunked && request.keep_alive());
  response.chunked(chunked);
  http::response_serializer<http::empty_body> serializer(response);
  stream.expires_after(kWrite);
  auto [header_error, header_size] = co_await http::async_write_header(stream, serializer, kTuple);
  if (header_error) co_return false;

  bool first = true, last = false;
  while (!last) {
    stream.expires_never();
    co_await exchange.Wait(/*whole=*/false);
    last = exchange.result.has_value();
    std::string events;
    if (!exchange.pending.empty()) {
      events = "data: " + RenderPiece(head, exchange.pending, first) + "\n\n";
      exchange.pending.clear();
      first = false;
    }
    if (last && exchange.result->ok()) {
      const GenerateResult& result = **exchange.result;
      events += "data: " + RenderLastPiece(head, result.finish_reason) + "\n\n";
      if (wanted.include_usage) events += "data: " + RenderUsagePiece(head, result) + "\n\n";
    } else if (last) {
      events += "data: " + RenderError(ToApiError(exchange.result->status())) + "\n\n";
    }
    if (last) events += "data: [DONE]\n\n";
    stream.expires_after(kWrite);
    error_code error;
    if (chunked) {
      std::tie(error, std::ignore) =
          co_await asio::async_write(stream, http::make_chunk(asio::buffer(events)), kTuple);
    } else {
      std::tie(error, std::ignore) = co_await asio::async_write(stream, asio::buffer(events), kTuple);
    }
    if (error) co_return false;
  }
  if (chunked) {
    auto [error, size] = co_await asio::async_write(stream, http::make_chunk_last(), kTuple);
    if (error) co_return false;
  }
  co_return true;
}

asio::awaitable<bool> CompletionServer::Impl::Reply(beast::tcp_stream& stream, unsigned version,
                                                    bool keep_alive, int status, std::string body) {
  http::response<http::string_body> response(static_cast<http::status>(status), version < 10 ? 11 : version);
  response.set(http::field::content_type, "application/json");
  if (status == 429 || status == 503) response.set(http::field::retry_after, "1");
  response.keep_alive(keep_alive);
  response.body() = std::move(body);
  response.prepare_payload();
  stream.expires_after(kWrite);
  auto [error, size] = co_await http::async_write(stream, response, kTuple);
  co_return !error && keep_alive;
}

asio::awaitable<bool> CompletionServer::Impl::ReplyError(beast::tcp_stream& stream, unsigned version,
                                                         bool keep_alive, const ApiError& error) {
  co_return co_await Reply(stream, version, keep_alive, error.http, RenderError(error));
}

// Closing while the client still sends would reset the connection, and the answer with it.
asio::awaitable<void> CompletionServer::Impl::Linger(beast::tcp_stream& stream) {
  error_code error;
  stream.socket().shutdown(tcp::socket::shutdown_send, error);
  std::array<char, 16 << 10> sink;
  stream.expires_after(kLinger);
  for (size_t read = 0; !error && read < kMostLingerBytes;) {
    size_t size = 0;
    std::tie(error, size) = co_await stream.async_read_some(asio::buffer(sink), kTuple);
    read += size;
  }
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

void CompletionServer::SetModel(const std::string& name, std::shared_ptr<Engine> engine) {
  impl_->models.Set(name, std::move(engine));
}
void CompletionServer::RemoveModel(const std::string& name) { impl_->models.Remove(name); }
std::vector<std::string> CompletionServer::models() const { return impl_->models.Names(); }

}  // namespace quantfleet::agent
