// The whole daemon in one object: state, keys, jobs, and both servers, wired together. main.cc runs
// one; tests too.
//
// Thread-safe once started. A process may hold several, each on its own data folder.
#pragma once

#include <functional>
#include <memory>
#include <string_view>

#include "common/base/clock.h"
#include "common/base/event.h"
#include "common/base/random.h"
#include "daemon/config.h"

namespace quantfleet::daemon {

class Server {
 public:
  struct Environment {
    FileSystem& files;
    const Clock& clock;
    Random& random;
    std::function<void(std::string_view)> log;         // one line; from any thread
    std::function<void(std::string_view)> warn = log;  // of what went wrong
    EventLog events = [](const Event&) {};             // of what happened; from any thread
  };

  // When it returns, both ports listen, unfinished jobs are resumed, and DATA/admin.json and
  // DATA/endpoints.json are written.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const Config& config,
                                                       const Environment& environment);
  ~Server();  // Stop()

  // Within 5 seconds: calls under way end or are cancelled, and the running job stops after the
  // slabs that it has begun. Idempotent.
  void Stop();

  HostPort grpc() const;
  HostPort http() const;
  fs::path admin_credential() const;  // DATA/admin.json

 private:
  struct Impl;
  explicit Server(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace quantfleet::daemon
