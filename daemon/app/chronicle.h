// What happens by itself, as events for the log: jobs and rollouts that change their state, and
// what becomes of each device in a rollout. It reads what was committed, on a thread of its own, so
// that nobody waits for the log; of states that follow each other faster than it reads, the last is
// told.
#pragma once

#include <condition_variable>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <utility>

#include "common/base/event.h"
#include "daemon/store/store.h"

namespace quantfleet::daemon::app {

class Chronicle {
 public:
  // From now on; the store must outlive it.
  Chronicle(Store& store, EventLog log);
  ~Chronicle();  // what was committed before is told
  Chronicle(const Chronicle&) = delete;
  Chronicle& operator=(const Chronicle&) = delete;

 private:
  struct KnownRollout {
    uint64_t revision = 0;
    v1::Rollout::State state{};
    uint32_t phase = 0;
  };
  void Work();
  void TellJob(const std::string& name);
  void TellRollout(const std::string& name);

  Store& store_;
  const EventLog log_;
  std::map<std::string, v1::Job::State> jobs_;    // by Work alone
  std::map<std::string, KnownRollout> rollouts_;  // likewise
  std::mutex mutex_;                              // guards what follows
  std::condition_variable wake_;
  std::set<std::pair<Change::Kind, std::string>> changed_;
  bool stopping_ = false;
  Subscription subscription_;
  std::thread thread_;
};

}  // namespace quantfleet::daemon::app
