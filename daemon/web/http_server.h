// The HTTPS side: blobs with ranges, /metrics, /livez, /readyz.
//
// A fixed number of threads, a bounded number of connections, bounded memory per connection
// whatever a blob's size. At most half of the connections are those of clients without a
// certificate, at most an eighth those of one address; beyond, silent ones give way to new ones. A
// client certificate is requested and, if presented, must lead to the daemon's CA; blobs need one
// that `authorize` accepts, at each request. Thread-safe. The functions run on the server's
// threads.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "common/base/status.h"
#include "common/trust/certificate.h"
#include "daemon/web/blob_request.h"
#include "pipeline/artifact/blob_store.h"

namespace quantfleet::daemon {

class HttpServer {
 public:
  struct Options {
    std::string host = "127.0.0.1";
    uint16_t port = 0;  // 0: any free one
    std::string ca_pem, certificate_pem, private_pem;
    int threads = 2;
    size_t max_connections = 1024;
    // What a client without a certificate has to itself before it gives way to another.
    std::chrono::milliseconds patience{1'000};
    std::chrono::milliseconds handshake_timeout{10'000};
    std::chrono::milliseconds idle_timeout{30'000};   // until a whole request head is there
    std::chrono::milliseconds write_timeout{30'000};  // for each piece of 64 KiB
    std::chrono::milliseconds grace{2'000};           // for answers under way when Stop is called
  };
  struct Traffic {
    std::map<int, uint64_t> requests;  // by status code
    uint64_t connections = 0, refused = 0, blob_bytes = 0;
  };
  struct Handlers {
    std::function<absl::Status(const trust::CertificateInfo&)> authorize;
    std::function<std::string(Traffic)> metrics;  // the page
    std::function<absl::Status()> ready;
    // What a device is told of an error (app/device_errors.h).
    std::function<absl::Status(const absl::Status&)> for_device;
    // A client could not read this blob, or a part of it. True: it is to ask again later.
    std::function<bool(const Digest& blob)> unreadable = [](const Digest&) { return false; };
  };

  // Listening when it returns; `blobs` must outlive it. UNAVAILABLE when the address is taken.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Start(const pipeline::BlobStore& blobs,
                                                           Options options, Handlers handlers);
  ~HttpServer();  // Stop()

  uint16_t port() const;
  // Accepts no new connections; answers under way get `grace`, then everything is cut. Idempotent.
  void Stop();

 private:
  struct Impl;
  explicit HttpServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace quantfleet::daemon
