// What a watch sends: the state of one thing now, at each change, and a last time when it is over.
// Translators send it in their protocol.
#pragma once

#include <chrono>
#include <functional>
#include <optional>

#include "common/base/status.h"
#include "daemon/store/feed.h"

namespace quantfleet::daemon::app {

template <typename Message>
struct WatchStep {
  std::optional<Message> message = {};  // nullopt: nothing new
  bool more = false;                    // there is more to send at once
  bool last = false;                    // and nothing after this
};

template <typename Message>
struct WatchSource {
  // `wake` may be called from any thread, at any time until the subscription ends.
  std::function<Subscription(std::function<void()> wake)> subscribe = {};
  // What to send now. Called after subscribe, so that no change is missed; one call at a time.
  std::function<absl::StatusOr<WatchStep<Message>>()> next = {};
  // How long to pause after each message, for what changes more often than is worth sending.
  std::chrono::milliseconds rest{0};
};

}  // namespace quantfleet::daemon::app
