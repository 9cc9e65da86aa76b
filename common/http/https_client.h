// A small HTTPS client for blobs: GET with ranges over a kept-alive connection, with the same trust
// as the gRPC channel. Blocking with deadlines; one instance per thread.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "common/net/channel.h"

namespace quantfleet::http {

struct HttpResponse {
  int status = 0;
  uint64_t content_length = 0;
  std::string retry_after;
};

class HttpsClient {
 public:
  // address "HOST:PORT".
  HttpsClient(std::string address, net::ServerTrust trust, net::ClientIdentity identity);
  HttpsClient(HttpsClient&&) noexcept;
  HttpsClient& operator=(HttpsClient&&) noexcept;
  ~HttpsClient();

  // GET target from byte `first` on (Range when > 0), `length` bytes of it (Range; 0: to the end).
  // `on_data` gets the body piece by piece and may stop the transfer with an error, which is
  // returned. UNAVAILABLE for anything that a later attempt may get past (refused, reset, timeout,
  // 5xx, 429), NOT_FOUND for 404, PERMISSION_DENIED for 401/403, UNAUTHENTICATED for a server that
  // is not trusted. A body (from `first` on) longer than `limit` is DATA_LOSS. `timeout` bounds
  // each wait for progress: connecting, the answer's header, the next bytes of the body.
  absl::StatusOr<HttpResponse> Get(const std::string& target, uint64_t first, uint64_t limit,
                                   const std::function<absl::Status(ByteSpan)>& on_data,
                                   std::chrono::milliseconds timeout, uint64_t length = 0);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace quantfleet::http
