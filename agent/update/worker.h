// Keeps the models current: takes what the daemon assigned, checks who signed it, and runs one
// updater per model, each on a thread of its own, so that a download that hardly moves holds up no
// other model. What loads models and measures them goes one after the other (turns.h). A newer
// assignment interrupts its own model's download; nothing else does.
//
// Thread-safe. Collaborators outlive the worker; its destructor ends the threads.
#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "agent/update/updater.h"

namespace quantfleet::agent {

class UpdateWorker {
 public:
  // `models`: STATE/models. Starts nothing yet.
  UpdateWorker(UpdateEnvironment environment, fs::path models, std::string device_id);
  ~UpdateWorker();

  // Runs what was proven before, then continues what was under way.
  void Start();
  // What the daemon assigns now, one statement per model. The same again is nothing new.
  void Hand(const std::vector<v1::Signed>& assignments);
  // The host gave up what answers for some model: its updater rolls back.
  void LookAgain();
  // Ends downloads at once, and the threads with them.
  void Stop();

  std::vector<v1::ModelStatus> statuses() const;
  // Whether everything that was handed over has been dealt with, successfully or not.
  bool settled() const;
  // All that was here at the start runs, or does not.
  bool booted() const;

 private:
  struct Lane {
    Lane(UpdateEnvironment& environment, const std::string& model, fs::path folder)
        : updater(environment, model, std::move(folder)) {}
    Updater updater;  // all but its status() on the thread
    // The rest is guarded by the worker's mutex.
    std::vector<v1::Signed> handed;
    bool booted = false;
    uint64_t version = 1, done = 0;  // of what there is to do; boot is version 1
    std::stop_source run_stop;       // ends the run under way
    std::jthread thread;             // last: it uses all else
  };

  void Work(Lane& lane, std::stop_token stop);
  void TakeIn(Updater& updater, const std::vector<v1::Signed>& assignments);
  // Needs the mutex.
  Lane& LaneOf(const std::string& model);

  UpdateEnvironment environment_;
  const fs::path models_;
  const std::string device_id_;

  mutable std::mutex mutex_;
  std::condition_variable_any wake_;
  bool started_ = false, stopped_ = false;
  std::map<std::string, std::unique_ptr<Lane>> lanes_;  // none is removed
};

}  // namespace quantfleet::agent
