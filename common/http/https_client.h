// A small HTTPS client for blobs: GET with ranges over a kept-alive connection, with the same trust
// as the gRPC channel. Blocking with deadlines; one instance per thread.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>

#include "common/net/channel.h"

namespace quantfleet::http {

struct HttpResponse {
  int status = 0;
  uint64_t content_length = 0;
  std::string retry_after;
};

struct GetOptions {
  // Bounds each wait for progress: connecting, the answer's header, the next bytes of the body.
  std::chrono::milliseconds timeout;
  uint64_t length = 0;        // bytes that are wanted (Range); 0: to the end
  bool past_caches = false;   // caches on the way are to ask anew
  std::stop_token stop = {};  // ends it at once: CANCELLED
};

class HttpsClient {
 public:
  // address "HOST:PORT".
  HttpsClient(std::string address, net::ServerTrust trust, net::ClientIdentity identity);
  HttpsClient(HttpsClient&&) noexcept;
  HttpsClient& operator=(HttpsClient&&) noexcept;
  ~HttpsClient();

  // GET target from byte `first` on (Range when > 0). `on_data` gets the body piece by piece, as it
  // comes, and may refuse more with an error, which is returned.
  // UNAVAILABLE for anything that a later try may mend (refused, reset, timeout, 5xx, 429),
  // NOT_FOUND for 404, PERMISSION_DENIED for 401/403, UNAUTHENTICATED for a server that the trust
  // refuses. A body (from `first` on) longer than `limit` is DATA_LOSS.
  absl::StatusOr<HttpResponse> Get(const std::string& target, uint64_t first, uint64_t limit,
                                   const std::function<absl::Status(ByteSpan)>& on_data,
                                   const GetOptions& options);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace quantfleet::http
