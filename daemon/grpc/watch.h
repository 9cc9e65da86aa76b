// A server stream of the state of something: now, at each change, and a last time when it is over.
// Changes that come faster than the caller reads are merged: what is sent is the state when there
// is room for it.
#pragma once

#include <functional>

#include "common/base/status.h"
#include "daemon/app/callers.h"
#include "daemon/app/watch_source.h"
#include "daemon/grpc/call.h"

namespace grpc {
template <class Response>
class ServerWriteReactor;
class CallbackServerContext;
}  // namespace grpc

namespace quantfleet::daemon {

// The stream owns itself, and ends with its caller's rights; `open`, which is called on a quick
// worker once the caller is known, and what it refers to must outlive the server. Message: Job,
// Rollout or Scrub.
template <typename Message>
grpc::ServerWriteReactor<Message>* StartWatch(
    Dispatcher::Named method, grpc::CallbackServerContext* context, Dispatcher& dispatcher,
    std::function<absl::StatusOr<app::WatchSource<Message>>(const app::Caller&)> open);

}  // namespace quantfleet::daemon
