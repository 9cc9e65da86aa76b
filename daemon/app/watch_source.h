// What a watch says: the state of one thing now, at each change, and a last time when it is over.
// Translators send it as their protocol does.
#pragma once

#include <chrono>
#include <functional>
#include <optional>

#include "common/base/status.h"
#include "daemon/store/feed.h"

namespace quantfleet::daemon::app {

template <typename Message>
struct WatchStep {
  std::optional<Message> message = {};  // nullopt: nothing that was not said
  bool more = false;                    // there is more to say at once
  bool last = false;                    // and nothing after this
};

template <typename Message>
struct WatchSource {
  // `wake` may be called from any thread, at any time until the subscription ends.
  std::function<Subscription(std::function<void()> wake)> subscribe = {};
  // What to say now. Called after subscribe, so that no change is missed; one call at a time.
  std::function<absl::StatusOr<WatchStep<Message>>()> next = {};
  // How long to be silent after each message, for what changes more often than is worth asking
  // about.
  std::chrono::milliseconds rest{0};
};

}  // namespace quantfleet::daemon::app
