// An HTTP/1.1 server, with TLS or without: accepts, bounds, reads requests, and sends what a
// handler answers. What it serves is the handler's (router.h); what it says of requests that never
// reach a handler is the owner's, who knows his clients.
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
    kCutShort,      // the client ended amid its request
    kHeadTooLarge,  // of Options::head_bytes
    kBodyTooLarge,  // of Options::body_bytes
    kCrowded,       // Crowd says that this one is told
    kFailed,        // the handler threw, or let go of the exchange without an answer
  } kind;
  std::string detail = {};  // of kNotHttp, for people
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
    std::chrono::milliseconds read_timeout{30'000};   // for a whole request, and between requests
    std::chrono::milliseconds told_timeout{2'000};    // the same, of those beyond the limit
    std::chrono::milliseconds write_timeout{30'000};  // for a client to take each piece
    // nullopt: the connection ends without a word.
    std::function<std::optional<Response>(const Refusal&)> refuse = nullptr;
  };
  struct Traffic {
    std::map<int, uint64_t> answers;  // begun, by status
    Crowd::Counts connections;
    uint64_t source_bytes = 0;  // of bodies that are read piece by piece: sent
  };

  // INVALID_ARGUMENT: the certificate does not serve.
  static absl::StatusOr<std::unique_ptr<Server>> Make(Options options, Handler handler);
  ~Server();  // Stop(0)

  // Serves who comes there, beside those of earlier calls, when it returns. The socket is the
  // server's from then on, also where that fails.
  absl::Status Listen(const ListenSocket& socket);
  // No new connections, and no request behind the one that is answered. Idempotent.
  void Drain();
  // Drain, then answers under way get `grace`; what is open afterwards is cut. Idempotent.
  void Stop(std::chrono::milliseconds grace);
  Traffic traffic() const;

 private:
  struct Impl;
  explicit Server(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace quantfleet::http
