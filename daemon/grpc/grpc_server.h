// The gRPC side: all services over TLS, with health and reflection. Connections come through the
// door (daemon/door), and without a client certificate only the calls of open_calls.h are answered,
// the others refused before their messages are read. Thread-safe.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "common/base/clock.h"
#include "common/base/status.h"
#include "daemon/app/app.h"
#include "daemon/door/door.h"

namespace quantfleet::daemon {

class GrpcServer {
 public:
  struct Options {
    std::string host = "127.0.0.1";
    uint16_t port = 0;  // 0: any free one
    // Another place to listen, where no connection comes about without a client certificate; no
    // host: nowhere else.
    std::string fleet_host;
    uint16_t fleet_port = 0;
    std::function<void(uint16_t port)> fleet_listens;  // before anybody is served
    std::string ca_pem, certificate_pem, private_pem;
    Door::Options door;
    // What a device is told of an error (app/device_errors.h).
    std::function<absl::Status(const absl::Status&)> for_device;
    std::function<void(std::string_view)>
        log;  // what gRPC itself has to say; of the first server, for the process
  };

  // Listening when it returns; `app` must outlive it. UNAVAILABLE when the address is taken.
  static absl::StatusOr<std::unique_ptr<GrpcServer>> Start(app::App& app, const Options& options);
  ~GrpcServer();  // Stop(2 s)

  uint16_t port() const;
  uint16_t fleet_port() const;  // 0: there is none
  Door::Counts connections() const;
  // No new calls; those under way get `grace`, then they are cancelled. Idempotent.
  void Stop(Duration grace);

 private:
  struct Impl;
  explicit GrpcServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace quantfleet::daemon
