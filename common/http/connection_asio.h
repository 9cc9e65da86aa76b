// One client of a server: reads a request, has it answered, then reads the next. For this folder's
// .cc files alone.
#pragma once

#include <atomic>
#include <mutex>

#include "common/http/client_connection_asio.h"
#include "common/http/server.h"

namespace quantfleet::http {

// What a server's connections share. Outlives them.
struct ServerState {
  ServerState(Server::Options options_in, Handler handler_in)
      : options(std::move(options_in)),
        handler(std::move(handler_in)),
        crowd(options.connections) {}

  void CountAnswer(int status) {
    std::lock_guard lock(mutex);
    ++answers[status];
  }

  const Server::Options options;
  const Handler handler;
  std::optional<asio::ssl::context> tls;
  std::atomic<bool> draining{false};
  mutable std::mutex mutex;  // guards what follows
  Crowd crowd;
  std::map<int, uint64_t> answers;
  uint64_t source_bytes = 0;
};

// Everything happens on the socket's strand.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  // `turned_away`: the connection exceeds the limit, and its request is refused instead of
  // answered.
  Connection(uint64_t id, Socket socket, bool turned_away, ServerState& state);

  asio::awaitable<void> Serve();
  uint64_t id() const { return id_; }
  // May be called from any thread. `also_answering`: even while an answer is under way.
  void Close(bool also_answering);

 private:
  class Handle;
  struct Outgoing;

  asio::awaitable<bool> ServeOne();
  asio::awaitable<error_code> Read(beast::http::request_parser<beast::http::string_body>& parser);
  std::optional<Refusal> RefusalFor(error_code error) const;
  asio::awaitable<bool> Answer(std::shared_ptr<Outgoing> outgoing);
  void CallHandler(const std::shared_ptr<Outgoing>& outgoing);
  void Watch(const std::shared_ptr<Outgoing>& outgoing);
  asio::awaitable<bool> Send(const Request& request, Response response);
  asio::awaitable<bool> SendSource(const Response& response);
  asio::awaitable<bool> SendStream(Outgoing& outgoing);
  asio::awaitable<bool> SendPassed(Outgoing& outgoing);
  asio::awaitable<bool> Write(std::string_view bytes);
  std::string StreamHead(const Request& request, int status, Fields fields) const;

  const uint64_t id_;
  const bool turned_away_;
  ServerState& state_;
  Stream stream_;
  beast::flat_buffer buffer_;
  bool answering_ = false;
  std::shared_ptr<const std::string> peer_certificate_;
  std::weak_ptr<Outgoing> outgoing_;  // the present answer
};

}  // namespace quantfleet::http
