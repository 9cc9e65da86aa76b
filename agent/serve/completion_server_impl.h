// The inside of CompletionServer: HTTP/1.1 by Boost.Beast, one coroutine per connection, all on one thread.
// Generations run on the queue's thread and reach their connection through an Exchange. For the server's own
// files alone.
#pragma once

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <map>
#include <optional>
#include <thread>

#include "agent/serve/completion_server.h"
#include "agent/serve/generation_queue.h"
#include "agent/serve/listen_address.h"
#include "agent/serve/model_table.h"
#include "agent/serve/openai.h"
#include "agent/serve/serve_metrics.h"

namespace quantfleet::agent {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using boost::system::error_code;
using Request = http::request<http::string_body>;
using Socket = asio::generic::stream_protocol::socket;  // TCP or unix
using Stream = beast::basic_stream<asio::generic::stream_protocol>;

inline constexpr auto kTuple = asio::as_tuple(asio::use_awaitable);

struct Connection {
  explicit Connection(Socket socket) : stream(std::move(socket)) {}
  Stream stream;
  bool counted = true;  // among the open ones
};
using ConnectionPtr = std::shared_ptr<Connection>;

// Between one generation and the connection that waits for it. Lives on the network thread alone: the queue's
// thread only posts to it. What is pending is bounded by the answer itself, and by the write timeout.
struct Exchange {
  explicit Exchange(const asio::any_io_executor& executor) : wake(executor) {}
  asio::steady_timer wake;
  std::string pending;                   // text that has not been sent
  std::vector<TokenProbability> tokens;  // those of the pending text
  std::optional<absl::StatusOr<GenerateResult>> result;

  // Until there is text (or, when `whole`, everything) or the end.
  asio::awaitable<void> Wait(bool whole) {
    while (!result && (whole || (pending.empty() && tokens.empty()))) {
      wake.expires_at(asio::steady_timer::time_point::max());
      co_await wake.async_wait(kTuple);
    }
  }
};

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
  asio::awaitable<bool> ServeOne(const ConnectionPtr& connection, beast::flat_buffer& buffer, bool crowded);
  asio::awaitable<bool> Route(const ConnectionPtr& connection, const Request& request);
  // An answer in one piece. Given to a coroutine by a name of its own: g++ 12 destroys one that is made in
  // the call twice.
  struct Page {
    int status;
    std::string body;
    const char* type = "application/json";
  };
  // What is asked for without a body; nullopt: there is no such page.
  std::optional<Page> Look(std::string_view target);
  asio::awaitable<bool> Complete(const ConnectionPtr& connection, const Request& request, Endpoint endpoint);
  absl::StatusOr<std::shared_ptr<Generation>> Prepare(const CompletionRequest& wanted, AnswerHead* head);
  std::shared_ptr<Exchange> Connect(Generation& generation);
  void Watch(const ConnectionPtr& connection, const std::shared_ptr<Generation>& generation);
  asio::awaitable<bool> StreamAnswer(Stream& stream, const Request& request, const CompletionRequest& wanted,
                                     const AnswerHead& head, Exchange& exchange);
  asio::awaitable<bool> Reply(Stream& stream, unsigned version, bool keep_alive, Page page);
  asio::awaitable<bool> ReplyError(Stream& stream, unsigned version, bool keep_alive, const ApiError& error);
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

}  // namespace quantfleet::agent
