// The thread that keeps the models current: takes what the daemon assigned, checks who signed it,
// and runs one updater per model, one after the other. Newer assignments interrupt a download;
// nothing else does.
//
// Thread-safe. Collaborators outlive the worker; its destructor ends the thread.
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
  void Hand(std::vector<v1::Signed> assignments);
  // The host gave up what answers for some model: its updater rolls back.
  void LookAgain();
  // Ends downloads at the next chunk and the thread with them.
  void Stop();

  std::vector<v1::ModelStatus> statuses() const;
  // Whether everything that was handed over has been dealt with, successfully or not.
  bool settled() const;

 private:
  void Work(std::stop_token stop);
  void BootAll(std::stop_token stop);
  void TakeIn(const std::vector<v1::Signed>& assignments);
  Updater& UpdaterOf(const std::string& model);

  UpdateEnvironment environment_;
  const fs::path models_;
  const std::string device_id_;

  mutable std::mutex mutex_;
  std::condition_variable_any wake_;
  std::vector<v1::Signed> handed_;
  uint64_t handed_version_ = 0, done_version_ = 0;  // of what there is to do; boot is version 0
  bool booted_ = false;
  std::stop_source run_stop_;  // ends the run under way
  std::map<std::string, std::unique_ptr<Updater>>
      updaters_;  // entries are added by the thread alone, under mutex_
  std::jthread thread_;
};

}  // namespace quantfleet::agent
