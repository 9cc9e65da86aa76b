// One request and its answer, as a server gives it to whoever answers: at once or later, in one
// piece or as a stream, or by another server. How it goes over the wire is not seen here.
//
// Thread-safe. Whoever holds one lets go of it before the server is destroyed. An exchange that
// everybody has let go of without an answer is answered with an error, one that is cut short with
// the end of the connection.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/http/listen_socket.h"
#include "common/http/message.h"

namespace quantfleet::http {

// How another server's answer is passed on.
struct PassOn {
  SocketAddress to;
  std::string request;                     // as it goes over the wire: RequestText
  std::vector<std::string> fields;         // of the answer, that are passed on
  std::chrono::milliseconds connect_time;  // what comes after has no limit: the client may leave
  // What the client gets where no head of an answer came; `why` for people.
  std::function<Response(const std::string& why)> on_failure;
  std::function<void()> on_left;         // the client left before the answer had ended
  std::shared_ptr<void> held = nullptr;  // until the answer has ended
};

class Exchange {
 public:
  virtual ~Exchange() = default;

  virtual const Request& request() const = 0;

  // One of these three, once.
  virtual void Reply(Response response) = 0;
  virtual void Begin(int status, Fields fields) = 0;  // a body that is written as it comes
  virtual void Pass(PassOn how) = 0;

  // After Begin. What is written while the client takes what came before is kept.
  virtual void Write(std::string bytes) = 0;
  virtual void End() = 0;

  // `left` is called once, on the server's thread, when the client is gone, or takes nothing for
  // too long, while it waits for its answer. Before the handler returns.
  virtual void OnLeft(std::function<void()> left) = 0;
  // Runs `act` on the server's thread of this exchange, one after the other.
  virtual void Post(std::function<void()> act) = 0;
};

using ExchangePtr = std::shared_ptr<Exchange>;
// Called on the server's thread: what takes long is done elsewhere.
using Handler = std::function<void(const ExchangePtr&)>;

}  // namespace quantfleet::http
