// Accepts the connections of gRPC, which gets those that may come, as descriptors: so many at a
// time, and of clients that have not shown who they are few, from each address fewer still, and
// only as long as they take little (strangers.h). gRPC's own accepting ends for good when the
// process runs out of descriptors; this waits and goes on.
//
// It keeps a second descriptor of each connection, by which it sees what comes and when it ends,
// and can cut it. One thread of its own; thread-safe.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/status.h"
#include "common/http/crowd.h"
#include "common/http/listen_socket.h"
#include "daemon/door/strangers.h"

namespace quantfleet::daemon {

class Door {
 public:
  struct Options {
    http::Crowd::Limits crowd{.most = 4096,
                              .most_strangers = 512,
                              .most_strangers_per_address = 128,
                              .patience = std::chrono::seconds(2)};
    // Those for whom there is no room wait here, unread, until there is.
    size_t most_held = 512;
    Strangers::Limits strangers = {};
    std::function<void(std::string_view)> log = [](std::string_view) {};
  };
  // Takes a connected, non-blocking socket over. On the door's thread.
  using HandOver = std::function<void(int fd)>;
  struct Listener {
    http::ListenSocket socket;  // the door's from then on
    HandOver hand_over;
  };
  struct Counts {
    http::Crowd::Counts crowd;
    size_t held = 0;
    uint64_t cut = 0;  // strangers that took too much or too long
  };

  explicit Door(Options options);
  ~Door();  // Close()

  // Once. Accepting when it returns.
  absl::Status Open(std::vector<Listener> listeners);

  // A call came from `peer`, as gRPC writes it ("ipv4:127.0.0.1:4711"); `known`: its client has
  // shown who it is.
  void Met(std::string_view peer, bool known);
  // Accepts nobody any more, and minds nobody: the connections are gRPC's alone. Idempotent.
  void Close();
  Counts counts() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace quantfleet::daemon
