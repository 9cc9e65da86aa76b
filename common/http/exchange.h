// One request and its answer, as a server hands it to whoever answers: at once or later, in one
// piece or as a stream, or by passing it to another server. The wire format is hidden here.
//
// Thread-safe. Whoever holds one lets go of it before the server is destroyed. An exchange that
// everybody has let go of without an answer is answered with an error; where an answer has begun,
// the connection is closed.
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
  std::chrono::milliseconds connect_time;  // the rest has no limit: the client may leave
  // What the client gets when the other server sent no status line and headers; `why` is for
  // people.
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
  virtual void Begin(int status, Fields fields) = 0;  // a body that is written piece by piece
  virtual void Pass(PassOn how) = 0;

  // After Begin. What is written faster than the client reads is buffered.
  virtual void Write(std::string bytes) = 0;
  virtual void End() = 0;

  // `left` is called once, on the server's thread, when the client leaves, or reads nothing for too
  // long, before its answer has ended. To be set before the handler returns.
  virtual void OnLeft(std::function<void()> left) = 0;
  // Runs `act` on this exchange's thread of the server; calls run one after the other.
  virtual void Post(std::function<void()> act) = 0;
};

using ExchangePtr = std::shared_ptr<Exchange>;
// Called on the server's thread: anything slow is done elsewhere.
using Handler = std::function<void(const ExchangePtr&)>;

}  // namespace quantfleet::http
