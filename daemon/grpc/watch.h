// A server stream of what something is: now, at each change, and a last time when it is over.
// Changes that come faster than the caller reads are merged: what is sent is what is true once
// there is room for it.
#pragma once

#include <chrono>
#include <functional>
#include <optional>

#include "common/base/status.h"
#include "daemon/grpc/call.h"
#include "daemon/store/feed.h"

namespace grpc {
template <class Response>
class ServerWriteReactor;
}

namespace quantfleet::daemon {

template <typename Message>
struct WatchStep {
  std::optional<Message> message = {};  // nullopt: nothing that was not said
  bool more = false;                    // there is more to say at once
  bool last = false;                    // and nothing after this
};

template <typename Message>
struct WatchSource {
  // `wake` may be called from any thread, at any time until the subscription ends.
  std::function<Subscription(std::function<void()> wake)> subscribe;
  // What to say now. Called after subscribe, so that no change is missed; on a worker, one call at
  // a time.
  std::function<absl::StatusOr<WatchStep<Message>>()> next;
  // How long to be silent after each message, for what changes more often than is worth asking
  // about.
  std::chrono::milliseconds rest{0};
};

// For viewers and above. Message: Job or Rollout. The stream owns itself; what `source` refers to
// must outlive the server.
template <typename Message>
grpc::ServerWriteReactor<Message>* StartWatch(grpc::CallbackServerContext* context,
                                              Dispatcher& dispatcher, WatchSource<Message> source);

}  // namespace quantfleet::daemon
