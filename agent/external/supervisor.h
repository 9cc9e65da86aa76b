// Keeps one external runtime running: starts it, checks whether it is ready, watches its memory,
// restarts it when it has ended, and stops it. What it writes, to its folder and to the log, is
// bounded. A thread of its own does all that, because a child
// dies with the thread that forked it. Thread-safe.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <thread>

#include "agent/external/child_process.h"
#include "agent/serve/upstream.h"
#include "agent/update/sleeper.h"
#include "agent/update/verdict.h"
#include "quantfleet/v1/trust.pb.h"

namespace quantfleet::agent {

struct RuntimeOrder {
  fs::path program;                                        // absolute
  v1::Runtime runtime;                                     // as trust::CheckRuntime has it
  std::map<std::string, std::string, std::less<>> values;  // {model}, {folder}, {name}, {threads}
  fs::path socket;                                         // {socket}; its folder exists
  // Where it runs and may write: its HOME and TMPDIR, made anew for each of its lives, removed with
  // the supervisor. Empty: it has none.
  fs::path folder = {};
  uint64_t disk_bytes = 0;  // what it may keep there; 0: no limit
};

// What it uses of the outside world; all of it outlives the supervisor.
struct SupervisorWorld {
  const Clock& clock;
  Random& random;
  Sleeper& sleeper;
  // OK: the runtime at this address is ready. Called on the supervisor's thread; returns soon after
  // a stop.
  std::function<absl::Status(const std::string& address, const std::string& health_path,
                             std::stop_token)>
      ask;
  std::function<void(std::string_view)>
      log;  // what it and the runtime say, a line each; on the supervisor's thread
  std::function<void()> on_given_up;  // on the supervisor's thread
  Duration ask_until_ready = std::chrono::milliseconds(100),
           ask_when_ready = std::chrono::seconds(2);
};

class Supervisor {
 public:
  Supervisor(RuntimeOrder order, SupervisorWorld world);
  // Ends the runtime: SIGTERM, and SIGKILL after its stop_timeout_seconds.
  ~Supervisor();

  // The same without waiting, so that several can end at the same time.
  void RequestStop() { thread_.request_stop(); }

  // Until it was ready for the first time; else why it was given up: kOutOfMemory over its memory,
  // kHealthFailed otherwise. kInterrupted: `stop` came first.
  Verdict AwaitReady(std::stop_token stop);
  // Ok until it is given up.
  Verdict condition() const;
  // The runtime's own memory when it was last looked at.
  uint64_t memory_bytes() const { return memory_bytes_; }
  // Holds its address while it is ready.
  const std::shared_ptr<Upstream>& upstream() const { return upstream_; }
  Duration start_timeout() const {
    return std::chrono::seconds(order_.runtime.start_timeout_seconds());
  }
  Duration stop_timeout() const {
    return std::chrono::seconds(order_.runtime.stop_timeout_seconds());
  }

 private:
  void Work(std::stop_token stop);
  void Hear(std::string_view line);
  void GiveUp(const Verdict& why, uint32_t restarts);
  // One life of the child; returns why it ended.
  Verdict Live(std::stop_token stop);
  Verdict Watch(ChildProcess& child, const std::string& address, std::stop_token stop);
  absl::StatusOr<std::string> NewAddress() const;
  absl::StatusOr<ChildSpec> Spec(const std::string& address) const;
  absl::Status MakeFolder() const;
  Duration Now() const { return world_.clock.Monotonic(); }

  const RuntimeOrder order_;
  const SupervisorWorld world_;
  const std::shared_ptr<Upstream> upstream_ = std::make_shared<Upstream>();
  // The thread's own.
  Duration heard_{0};        // when it was last ready; before that, when it was started
  Duration ready_since_{0};  // of this life; only where ready_
  bool ready_ = false;       // in this life
  bool no_use_ = false;      // it says so itself: kNoUse
  std::string last_words_;   // of its output
  Duration minute_{0};       // in which lines_ are counted
  int lines_ = 0;            // of its output

  std::atomic<uint64_t> memory_bytes_{0};

  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable_any changed_;
  bool was_ready_ = false;  // in any life; only the thread writes it
  Verdict condition_;
  std::jthread thread_;
};

}  // namespace quantfleet::agent
