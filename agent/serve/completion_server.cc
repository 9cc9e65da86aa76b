// Connections: who may come, what a request is, when it ends.

#include "agent/serve/completion_server.h"

#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>

#include "agent/serve/completion_server_impl.h"

namespace quantfleet::agent {
namespace {

using asio::ip::tcp;
using local = asio::local::stream_protocol;

constexpr auto kLinger = std::chrono::seconds(2);
constexpr size_t kMostHeaderBytes = 16 << 10, kMostLingerBytes = 8 << 20;
constexpr std::string_view kModels = "/v1/models/";

std::string_view View(beast::string_view text) { return {text.data(), text.size()}; }

// A socket that a process left behind when it was killed; one that answers is somebody's.
absl::Status RemoveStale(asio::io_context& io, const std::string& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) return absl::OkStatus();
  if (!S_ISSOCK(info.st_mode)) return AlreadyExists("{} is there and is no socket", path);
  local::socket probe(io);
  error_code error;
  probe.connect(local::endpoint(path), error);
  if (!error) return Unavailable("another process listens on unix:{}", path);
  ::unlink(path.c_str());
  return absl::OkStatus();
}

}  // namespace

absl::Status CompletionServer::Impl::Listen() {
  QF_ASSIGN_OR_RETURN(const ListenAddress address, ParseListenAddress(options.listen));
  is_unix = !address.path.empty();
  error_code error;
  if (is_unix) {
    QF_RETURN_IF_ERROR(RemoveStale(io, address.path));
    unix_acceptor.open(local(), error);
    if (!error) unix_acceptor.bind(local::endpoint(address.path), error);
    // Nobody can connect before it listens, so that it is never open to others.
    if (!error && ::chmod(address.path.c_str(), 0600) != 0)
      error.assign(errno, boost::system::system_category());
    if (!error) unix_acceptor.listen(asio::socket_base::max_listen_connections, error);
    endpoint = options.listen;
  } else {
    const tcp::endpoint at(asio::ip::make_address(address.host, error), address.port);
    if (error) return InvalidArgument("listening on {}: {}", options.listen, error.message());
    tcp_acceptor.open(at.protocol(), error);
    if (!error) tcp_acceptor.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) tcp_acceptor.bind(at, error);
    if (!error) tcp_acceptor.listen(asio::socket_base::max_listen_connections, error);
  }
  if (error) return Unavailable("listening on {}: {}", options.listen, error.message());
  if (!is_unix) {
    const tcp::endpoint bound = tcp_acceptor.local_endpoint(error);
    endpoint = bound.address().is_v6() ? fmt::format("[{}]:{}", bound.address().to_string(), bound.port())
                                       : fmt::format("{}:{}", bound.address().to_string(), bound.port());
  }
  const auto ended = [](std::exception_ptr) {};
  if (is_unix)
    asio::co_spawn(io, Accept(unix_acceptor), ended);
  else
    asio::co_spawn(io, Accept(tcp_acceptor), ended);
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
  parser.header_limit(kMostHeaderBytes);
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
                           : fmt::format("the header has more than {} bytes", kMostHeaderBytes);
    co_await ReplyError(stream, version, false, refused);
    co_await Linger(stream);
    co_return false;
  }
  const bool not_http = error.category() == http::make_error_code(http::error::bad_method).category();
  if (error == http::error::end_of_stream || (error && !not_http)) co_return false;
  if (error) {
    const ApiError refused{400, "invalid_request_error", "bad_http", "not HTTP: " + error.message()};
    co_await ReplyError(stream, 11, false, refused);
    co_await Linger(stream);
    co_return false;
  }
  if (crowded) {
    const ApiError refused{429, "rate_limit_error", "too_many_connections",
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

asio::awaitable<bool> CompletionServer::Impl::Route(const ConnectionPtr& connection, const Request& request) {
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
  if (target == "/v1/completions" && post)
    co_return co_await Complete(connection, request, Endpoint::kCompletions);
  if (target == "/v1/chat/completions" && post)
    co_return co_await Complete(connection, request, Endpoint::kChatCompletions);
  auto page = Look(target);
  if (page && get) co_return co_await Reply(stream, version, keep, *std::move(page));
  const bool known = page || target == "/v1/completions" || target == "/v1/chat/completions";
  ApiError refused{known ? 405 : 404, "invalid_request_error", known ? "method_not_allowed" : "not_found",
                   ""};
  refused.message = known ? "this path does not know that method"
                          : "there are /v1/completions, /v1/chat/completions, "
                            "/v1/models, /health and /metrics";
  co_return co_await ReplyError(stream, version, keep, refused);
}

asio::awaitable<bool> CompletionServer::Impl::Reply(Stream& stream, unsigned version, bool keep_alive,
                                                    Page page) {
  ++counts.requests[page.status];
  http::response<http::string_body> response(static_cast<http::status>(page.status),
                                             version < 10 ? 11 : version);
  response.set(http::field::content_type, page.type);
  if (page.status == 429 || page.status == 503) response.set(http::field::retry_after, "1");
  response.keep_alive(keep_alive && !draining);
  response.body() = std::move(page.body);
  response.prepare_payload();
  stream.expires_after(options.write_timeout);
  auto [error, size] = co_await http::async_write(stream, response, kTuple);
  co_return !error && keep_alive;
}

asio::awaitable<bool> CompletionServer::Impl::ReplyError(Stream& stream, unsigned version, bool keep_alive,
                                                         const ApiError& error) {
  Page page{error.http, RenderError(error)};
  co_return co_await Reply(stream, version, keep_alive, std::move(page));
}

// Closing while the client still sends would reset the connection, and the answer with it.
asio::awaitable<void> CompletionServer::Impl::Linger(Stream& stream) {
  error_code error;
  stream.socket().shutdown(Socket::shutdown_send, error);
  std::array<char, 16 << 10> sink;
  stream.expires_after(kLinger);
  for (size_t read = 0; !error && read < kMostLingerBytes;) {
    size_t size = 0;
    std::tie(error, size) = co_await stream.async_read_some(asio::buffer(sink), kTuple);
    read += size;
  }
}

ServeCounts CompletionServer::Impl::Counts() const {
  ServeCounts now = counts;
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

void CompletionServer::SetModel(const std::string& name, std::shared_ptr<Engine> engine) {
  impl_->models.Set(name, std::move(engine));
}
void CompletionServer::RemoveModel(const std::string& name) { impl_->models.Remove(name); }
std::vector<std::string> CompletionServer::models() const { return impl_->models.Names(); }

}  // namespace quantfleet::agent
