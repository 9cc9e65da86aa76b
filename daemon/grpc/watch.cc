#include "daemon/grpc/watch.h"

#include <grpcpp/alarm.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <memory>
#include <mutex>
#include <string>

#include "common/net/channel.h"
#include "daemon/grpc/call.h"
#include "quantfleet/v1/types.pb.h"

namespace quantfleet::daemon {
namespace {

// Lives until gRPC has finished with it and none of our threads holds it.
template <typename Message>
class Watch final : public grpc::ServerWriteReactor<Message>,
                    public std::enable_shared_from_this<Watch<Message>> {
 public:
  using Open = std::function<absl::StatusOr<app::WatchSource<Message>>(const app::Caller&)>;

  static Watch* Start(Dispatcher::Named method, grpc::CallbackServerContext* context,
                      Dispatcher& dispatcher, Open open) {
    auto watch = std::make_shared<Watch>(dispatcher.quick());
    watch->self_ = watch;
    // The caller may be gone, and the context with it, before a worker gets to this.
    watch->Post(
        [watch, caller = dispatcher.Meet(*context), &method, &calls = dispatcher.calls(),
         open = std::move(open)] { watch->Begin(calls.Watch<Message>(caller, method, open)); });
    return watch.get();
  }

  explicit Watch(WorkerPool& pool) : pool_(pool) {}

  void OnWriteDone(bool ok) override {
    bool rest = false;
    {
      std::lock_guard lock(mutex_);
      if (!ok) End(Cancelled("the caller disconnected"));
      if (last_) End(absl::OkStatus());
      rest = !ending_ && source_.rest.count() > 0;
    }
    if (!rest) return Rested();
    // Not a shared pointer: the alarm keeps its function. Until that has been called the stream is
    // busy and stays alive.
    alarm_.Set(std::chrono::system_clock::now() + source_.rest, [this](bool) { Rested(); });
  }
  void OnCancel() override {
    {
      std::lock_guard lock(mutex_);
      End(Cancelled("the caller disconnected"));
    }
    FinishWhenIdle();
  }
  void OnDone() override { self_.reset(); }

 private:
  void Begin(absl::StatusOr<app::WatchSource<Message>> source) {
    if (source.ok()) {
      source_ = *std::move(source);
      subscription_ = source_.subscribe([this] { Wake(); });
      return Step();
    }
    {
      std::lock_guard lock(mutex_);
      End(source.status());
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

  void Rested() {
    const auto self = this->shared_from_this();
    bool again = false;
    {
      std::lock_guard lock(mutex_);
      again = busy_ = !ending_ && dirty_;
    }
    again ? PostStep() : FinishWhenIdle();
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

  absl::StatusOr<app::WatchStep<Message>> Ask() {
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
    absl::StatusOr<app::WatchStep<Message>> next = Ask();
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

  // Only one call at a time touches the stream: the one that set `busy_` writes, is about to write,
  // or pauses, and Finish waits for it.
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
  app::WatchSource<Message> source_;  // set once, before anything is sent
  std::shared_ptr<Watch> self_;
  std::mutex mutex_;
  grpc::Alarm alarm_;                   // ends a rest
  Message current_;                     // what is being written
  std::optional<absl::Status> ending_;  // set: nothing more is sent
  bool busy_ = true;                    // a step is under way, a write, or a rest
  bool dirty_ = false;                  // something changed since the last step began
  bool last_ = false, finished_ = false;
  Subscription subscription_;  // last: ends before what its function uses
};

}  // namespace

template <typename Message>
grpc::ServerWriteReactor<Message>* StartWatch(
    Dispatcher::Named method, grpc::CallbackServerContext* context, Dispatcher& dispatcher,
    std::function<absl::StatusOr<app::WatchSource<Message>>(const app::Caller&)> open) {
  return Watch<Message>::Start(method, context, dispatcher, std::move(open));
}

template grpc::ServerWriteReactor<v1::Job>* StartWatch(
    Dispatcher::Named, grpc::CallbackServerContext*, Dispatcher&,
    std::function<absl::StatusOr<app::WatchSource<v1::Job>>(const app::Caller&)>);
template grpc::ServerWriteReactor<v1::Rollout>* StartWatch(
    Dispatcher::Named, grpc::CallbackServerContext*, Dispatcher&,
    std::function<absl::StatusOr<app::WatchSource<v1::Rollout>>(const app::Caller&)>);
template grpc::ServerWriteReactor<v1::Scrub>* StartWatch(
    Dispatcher::Named, grpc::CallbackServerContext*, Dispatcher&,
    std::function<absl::StatusOr<app::WatchSource<v1::Scrub>>(const app::Caller&)>);

}  // namespace quantfleet::daemon
