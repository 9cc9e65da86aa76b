// A server stream of what something is: now, at each change, and a last time when it is over. Changes that come faster
// than the caller reads are merged: what is sent is what is true once there is room for it.
//
// Everything is asked on a worker thread, one step at a time. Lives until gRPC is done with it and no thread of ours
// holds it. Thread-safe.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "common/net/channel.h"
#include "daemon/api/call.h"
#include "daemon/store/feed.h"

namespace quantfleet::daemon {

template <typename Message>
class Watch final : public grpc::ServerWriteReactor<Message>,
                    public std::enable_shared_from_this<Watch<Message>> {
 public:
  struct Next {
    std::optional<Message> message = {};  // nullopt: nothing that was not said
    bool more = false;                    // there is more to say at once
    bool last = false;                    // and nothing after this
  };
  struct Source {
    // `wake` may be called from any thread, at any time until the subscription ends.
    std::function<Subscription(std::function<void()> wake)> subscribe;
    // What to say now. Called after subscribe, so that no change is missed.
    std::function<absl::StatusOr<Next>()> next;
  };

  // For viewers and above.
  static grpc::ServerWriteReactor<Message>* Start(grpc::CallbackServerContext* context, Fleet& fleet,
                                                  Dispatcher& dispatcher, Source source) {
    auto watch = std::make_shared<Watch>(dispatcher.quick(), std::move(source));
    watch->self_ = watch;
    // The caller may be gone, and the context with it, before a worker gets to this.
    watch->Post([watch, certificate = net::PeerCertificate(*context), &fleet] {
      watch->Begin(Identify(certificate, Access::kViewer, fleet).status());
    });
    return watch.get();
  }

  Watch(WorkerPool& pool, Source source) : pool_(pool), source_(std::move(source)) {}

  void OnWriteDone(bool ok) override {
    bool again = false;
    {
      std::lock_guard lock(mutex_);
      if (!ok) End(Cancelled("the caller left"));
      if (last_) End(absl::OkStatus());
      again = busy_ = !ending_ && dirty_;
    }
    again ? PostStep() : FinishWhenIdle();
  }
  void OnCancel() override {
    {
      std::lock_guard lock(mutex_);
      End(Cancelled("the caller left"));
    }
    FinishWhenIdle();
  }
  void OnDone() override { self_.reset(); }

 private:
  void Begin(const absl::Status& allowed) {
    if (allowed.ok()) {
      subscription_ = source_.subscribe([this] { Wake(); });
      return Step();
    }
    {
      std::lock_guard lock(mutex_);
      End(allowed);
      busy_ = false;
    }
    FinishWhenIdle();
  }

  void Wake() {
    {
      std::lock_guard lock(mutex_);
      if (ending_) return;
      dirty_ = true;
      if (busy_) return;
      busy_ = true;
    }
    PostStep();
  }

  void PostStep() {
    Post([watch = this->shared_from_this()] { watch->Step(); });
  }
  void Post(std::function<void()> work) {
    if (pool_.Post(std::move(work))) return;
    {
      std::lock_guard lock(mutex_);
      End(Overloaded());
      busy_ = false;
    }
    FinishWhenIdle();
  }

  absl::StatusOr<Next> Ask() {
    try {
      return source_.next();
    } catch (const std::exception& e) {
      return Internal("{}", e.what());
    }
  }

  void Step() {
    {
      std::lock_guard lock(mutex_);
      dirty_ = false;
    }
    absl::StatusOr<Next> next = Ask();
    bool write = false, again = false;
    {
      std::lock_guard lock(mutex_);
      if (!next.ok()) {
        End(next.status());
      } else {
        dirty_ = dirty_ || next->more;
        last_ = next->last;
        write = next->message && !ending_;
        if (write) current_ = *std::move(next->message);
        if (!write && last_) End(absl::OkStatus());
        again = !write && !ending_ && dirty_;
      }
      busy_ = write || again;
    }
    if (write) return this->StartWrite(&current_);
    again ? PostStep() : FinishWhenIdle();
  }

  // Under the lock. The first reason counts.
  void End(const absl::Status& status) {
    if (!ending_) ending_ = status;
  }

  // The stream is touched by one call at a time: whoever is `busy_` writes or is about to, and Finish waits for it.
  void FinishWhenIdle() {
    absl::Status status;
    {
      std::lock_guard lock(mutex_);
      if (!ending_ || busy_ || finished_) return;
      finished_ = true;
      status = *ending_;
    }
    this->Finish(net::ToGrpc(status));
  }

  WorkerPool& pool_;
  const Source source_;
  std::shared_ptr<Watch> self_;
  std::mutex mutex_;
  Message current_;                     // what is being written
  std::optional<absl::Status> ending_;  // set: nothing more is said
  bool busy_ = true;                    // a step is under way, or a write
  bool dirty_ = false;                  // something changed since the last step began
  bool last_ = false, finished_ = false;
  Subscription subscription_;  // last: ends before what its function uses
};

}  // namespace quantfleet::daemon
