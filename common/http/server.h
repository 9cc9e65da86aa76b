// An HTTP/1.1 server, with TLS or without: accepts, bounds, reads requests, and sends what a
// handler answers. What it serves is up to the handler (router.h); what it says about requests that
// never reach a handler is up to its owner, who knows the clients.
//
// A fixed number of threads, a bounded number of connections, bounded memory for each. Thread-safe.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "common/http/crowd.h"
#include "common/http/exchange.h"
#include "common/http/listen_socket.h"
#include "common/http/server_tls.h"

namespace quantfleet::http {

// Why a request got no further.
struct Refusal {
  enum class Kind {
    kNotHttp,
    kCutShort,      // the client closed in the middle of its request
    kHeadTooLarge,  // over Options::head_bytes
    kBodyTooLarge,  // over Options::body_bytes
    kCrowded,       // too many connections (Crowd)
    kFailed,        // the handler threw, or let go of the exchange without an answer
  } kind;
  std::string detail = {};  // for kNotHttp, for people
};

class Server {
 public:
  struct Options {
    Crowd::Limits connections = {};
    uint32_t head_bytes = 8 << 10;
    uint64_t body_bytes = 0;
    std::optional<ServerTls> tls = std::nullopt;
    int threads = 1;
    std::chrono::milliseconds handshake_timeout{10'000};
    std::chrono::milliseconds read_timeout{30'000};  // for a whole request, and between requests
    std::chrono::milliseconds turned_away_timeout{2'000};  // the same, for those beyond the limit
    std::chrono::milliseconds write_timeout{30'000};       // for a client to read each piece
    // nullopt: the connection is closed without an answer.
    std::function<std::optional<Response>(const Refusal&)> refuse = nullptr;
  };
  struct Traffic {
    std::map<int, uint64_t> answers;  // begun, by status
    Crowd::Counts connections;
    uint64_t source_bytes = 0;  // sent, of bodies that are read piece by piece
  };

  // INVALID_ARGUMENT: the certificate cannot be used.
  static absl::StatusOr<std::unique_ptr<Server>> Make(Options options, Handler handler);
  ~Server();  // Stop(0)

  // Serves connections to this socket, besides those of earlier calls, from its return on. The
  // server owns the socket from then on, even on failure.
  absl::Status Listen(const ListenSocket& socket);
  // Accepts no new connections, and no further request on those that are open. Idempotent.
  void Drain();
  // Drain; answers under way get `grace`, and what is still open afterwards is cut. Idempotent.
  void Stop(std::chrono::milliseconds grace);
  Traffic traffic() const;

 private:
  struct Impl;
  explicit Server(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace quantfleet::http
